"""Process start to first output, inside against native."""

from __future__ import annotations

from bench.figures import Suite, compare
from bench.spawn import inside, native
from tests.harness.images import build_programs, program
from tests.harness.stack import Stack

ROUNDS = 31
PYTHON = str(program("python3", "python"))
CASES: tuple[tuple[str, list[str], float], ...] = (
    ("hello, musl static", [str(program("hello", "musl-static"))], 2.0),
    ("hello, glibc dynamic", [str(program("hello"))], 1.5),
    ("python3 -I -S", [PYTHON, "-I", "-S", "-c", "print(1)"], 1.2),
    ("python3", [PYTHON, "-c", "print(1)"], 1.2),
)


def run() -> Suite:
    build_programs()
    figures = []
    with Stack(with_containers=False) as stack:
        for name, command, target in CASES:
            figures.append(
                compare(
                    name,
                    unit="ms",
                    rounds=ROUNDS,
                    baseline=("native", lambda command=command: native(command).first_output_ms),  # type: ignore[misc]
                    measured=("inside", lambda command=command: inside(stack.hostd, command).first_output_ms),  # type: ignore[misc]
                    target=target,
                )
            )
    return Suite(name="start", title="Process start to first output", figures=figures)
