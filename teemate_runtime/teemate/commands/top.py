"""teemate top"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from teemate_runtime.teemate.output import UNLIMITED_WIDTH, Column, table, write_lines
from teemate_runtime.teemate.session import Session


@click.command()
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds between views."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many views.  [default: when interrupted]")
@click.pass_obj
def command(session: Session, interval: float, count: int | None) -> None:
    """Watch the pools and the processes in them, busiest first.

    \b
    Examples:
      teemate top
      teemate top --interval 0.5
    """
    from rich.console import Console
    from rich.live import Live

    from teemate_runtime.teemate.client import HostClient

    console = Console(highlight=False)
    processors = _Processors()
    with HostClient(session) as client, contextlib.suppress(KeyboardInterrupt):
        if not console.is_terminal:
            for _ in _views(count, interval):
                write_lines(_view(client, processors, width=UNLIMITED_WIDTH))
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for _ in _views(count, interval):
                live.update(_view(client, processors, width=console.width), refresh=True)


def _views(count: int | None, interval: float) -> Iterator[int]:
    """The numbers of the views, each when it is due."""
    for number in itertools.count() if count is None else range(count):
        if number:
            time.sleep(interval)
        yield number


@dataclass
class _Processors:
    """CPU use between two views."""

    _known: dict[int, Any] = field(default_factory=dict)

    def percent(self, pids: list[int]) -> dict[int, float]:
        import psutil

        result = {}
        self._known = {pid: process for pid, process in self._known.items() if pid in pids}
        for pid in pids:
            try:
                process = self._known.setdefault(pid, psutil.Process(pid))
                result[pid] = process.cpu_percent()
            except psutil.Error:
                self._known.pop(pid, None)
        return result


def _view(client: Any, processors: _Processors, *, width: int) -> Any:
    from rich.console import Group
    from rich.text import Text

    from teemate_runtime.teemate import pool_view, process_view

    host = client.host()
    leases = [process_view.row(lease) for lease in client.leases()]
    busy = processors.percent([lease["pid"] for lease in leases if lease["pid"]])
    rows = [lease | {"cpu": busy.get(lease["pid"], 0.0)} for lease in leases]
    rows.sort(key=lambda lease: (-float(lease["cpu"]), str(lease["container"])))
    cpu = Column(title="CPU", field="cpu", form=lambda percent: f"{percent:.0f}%", right=True)
    head = f"teemate-hostd {host.version}, {host.provider}, {len(rows)} processes in enclaves"
    return Group(
        Text(head, style="bold"),
        Text("" if host.gives_confidentiality else "software model: no confidentiality", style="red"),
        table([pool_view.row(pool) for pool in client.pools()], pool_view.COLUMNS, width=width),
        Text(""),
        table(rows, (*process_view.COLUMNS[:-1], cpu, process_view.COLUMNS[-1]), width=width),
    )
