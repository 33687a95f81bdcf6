"""System calls, inside against native: the program measures itself."""

from __future__ import annotations

from bench.figures import Suite, figure
from bench.spawn import inside, native
from tests.harness.images import build_programs, program
from tests.harness.stack import Stack

ROUNDS = 7


def _parsed(output: str) -> dict[str, float]:
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in output.splitlines())}


def run() -> Suite:
    build_programs()
    command = [str(program("bench_syscalls"))]
    outside: list[dict[str, float]] = []
    within: list[dict[str, float]] = []
    with Stack(with_containers=False) as stack:
        for _ in range(ROUNDS):
            outside.append(_parsed(native(command).output))
            within.append(_parsed(inside(stack.hostd, command).output))
    figures = [
        figure(
            name,
            unit="ns",
            baseline=("native", [sample[name] for sample in outside]),
            measured=("inside", [sample[name] for sample in within]),
        )
        for name in outside[0]
    ]
    return Suite(name="syscalls", title="System calls", figures=figures)
