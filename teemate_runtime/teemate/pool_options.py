"""The settings of a pool as options: for `pool create`, and for `image`, which needs the same layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from enclave_host.config import Heap, parse_size


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions, and for mypy only
    """Bytes: 4096, 64KiB, 512MiB, 1GiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(int(value) if str(value).isdecimal() else value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_COUNT = click.IntRange(min=1)
_LAYOUT = (
    click.option("--compartments", type=_COUNT, help="Processes that one enclave can hold."),
    click.option("--threads", type=_COUNT, help="TCSs of a compartment: threads of its process."),
    click.option("--memory", type=Size(), help="Most memory of a process, for example 512MiB."),
    click.option("--heap", type=click.Choice([str(heap) for heap in Heap]), help="How the heap comes to be."),
    click.option("--heap-size", type=Size(), help="Heap added beforehand, with --heap unmeasured or measured."),
    click.option("--dedicated", is_flag=True, default=None, help="One enclave for each container, built at its start."),
)
_POLICY = (
    click.option("--trust-domain", help="Whose code may share an enclave.  [default: the pool's name]"),
    click.option("--ready", type=click.IntRange(min=0), help="Enclaves kept with a free compartment."),
    click.option("--maximum", type=_COUNT, help="Most enclaves."),
    click.option("--processes", type=_COUNT, help="Most processes of one container.  [default: half of the pool]"),
    click.option("--prepared", type=click.IntRange(min=0), help="Idle compartments kept with memory for a start."),
    click.option("--prepared-memory", type=Size(), help="How much of it is for code, for example 1MiB."),
    click.option("--debug--trace-syscalls", "debug_trace_syscalls", is_flag=True, default=None, help="Log every call."),
    click.option("--debug--no-patch", "debug_no_patch", is_flag=True, default=None, help="Trap every call."),
)

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _all(options: tuple[_Decorator, ...]) -> _Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


layout_options = _all(_LAYOUT)
pool_options = _all(_LAYOUT + _POLICY)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in options.items() if value is not None}
