"""Run the benchmarks named as arguments, or all: python -m bench [attach|start|syscalls|work|runtime|shim]..."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from bench import attach, runtime, shim, start, syscalls, work
from bench.figures import Figure, Suite
from bench.plot import write_plot
from bench.spawn import build_timer
from tests.harness.facilities import missing_facilities
from tests.harness.process import HarnessError

SUITES = {
    "attach": attach.run,
    "start": start.run,
    "syscalls": syscalls.run,
    "work": work.run,
    "runtime": runtime.run,
    "shim": shim.run,
}


def _verdict(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'within' if figure.ratio <= figure.target else 'over'} {figure.target:g} x"


def print_suite(suite: Suite) -> None:
    table = Table(title=suite.title)
    for column in ("", "baseline", "measured", "ratio", "target"):
        table.add_column(column, justify="left" if not column else "right")
    for figure in suite.figures:
        table.add_row(
            figure.name,
            f"{figure.baseline} {figure.baseline_median:.4g} {figure.unit}",
            f"{figure.measured} {figure.measured_median:.4g} {figure.unit}",
            f"{figure.ratio:.3g} x" if figure.ratio >= 0.1 else f"1 / {1 / figure.ratio:.0f}",
            _verdict(figure),
        )
    Console(width=150).print(table)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in SUITES]
    missing = missing_facilities()
    if unknown or missing:
        print(f"bench: no suite {', '.join(unknown)}; there are {', '.join(SUITES)}" if unknown else
              "bench: missing " + "; ".join(missing), file=sys.stderr)  # fmt: skip
        return 2
    build_timer()
    suites = []
    try:
        for name in names or SUITES:
            suites.append(SUITES[name]())
            print_suite(suites[-1])
            print(f"figures: {suites[-1].write()}")
    except HarnessError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"plot: {write_plot(suites)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
