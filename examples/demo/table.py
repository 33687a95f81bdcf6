"""The demo's one table."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.table import Table

from examples.demo.run import VariantResult

MIB = 1 << 20


def first_output(result: VariantResult, job: str | None = None) -> float:
    return median(row.first_output_ms for row in result.jobs if job is None or row.name == job)


def print_table(results: list[VariantResult], *, reference: str, shared: str) -> None:
    """Columns are the variants; ratios are against the shared one."""
    by_name = {result.name: result for result in results}
    base = by_name[shared]
    table = Table(title=f"{len(base.jobs)} containers through docker run", show_lines=False)
    table.add_column("", no_wrap=True)
    for result in results:
        table.add_column(result.name.replace(", ", ",\n"), justify="right")

    def row(label: str, value: Callable[[VariantResult], str], *, enclaves_only: bool = False) -> None:
        skip = "-" if enclaves_only else None
        table.add_row(label, *(skip if skip and r.name == reference else value(r) for r in results))

    def ratio(label: str, value: Callable[[VariantResult], float], *, enclaves_only: bool = False) -> None:
        row(label, lambda r: f"{value(r) / value(base):.2f} x", enclaves_only=enclaves_only)

    row("from docker run to first output, ms", lambda r: "")
    for job in dict.fromkeys(row.name for row in base.jobs):
        row(f"  {job}", lambda r, job=job: f"{first_output(r, job):.0f}")  # type: ignore[misc]
    row("  median of all", lambda r: f"{first_output(r):.0f}")
    ratio("  beside shared", first_output)
    table.add_section()
    row("from request to enclave ready, ms", lambda r: f"{median(r.enclave_ready_ms):.2f}", enclaves_only=True)
    ratio("  beside shared", lambda r: median(r.enclave_ready_ms or [0]), enclaves_only=True)
    table.add_section()
    row(f"enclaves, {len(base.jobs)} containers at once", lambda r: str(r.holdings.enclaves), enclaves_only=True)
    row("memory per container, MiB", lambda r: f"{r.holdings.memory_per_container / MIB:.1f}")
    ratio("  beside shared", lambda r: r.holdings.memory_per_container)
    Console(width=150).print(table)
