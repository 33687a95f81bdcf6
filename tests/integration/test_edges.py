"""Threads, signals, registers and new processes at their edges: the same inside as natively."""

from __future__ import annotations

import pytest

from tests.harness.stack import Stack
from tests.integration.comparison import assert_same

LIBRARIES = ("glibc-dynamic", "musl-static")
CASES = {
    "thread_edges": ("cancel", "robust", "turns", "futex", "pingpong", "storm", "leader"),
    "signal_edges": ("queue", "nested", "altstack", "suspend", "bad-frame", "behind-call", "wild-return"),
    "spawn": ("vfork", "ends", "signals", "spawn", "threads", "killed", "maps"),
    "registers": ("float", "cpuid", "flags", "rounding", "vectors"),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("program", "case"), [(program, case) for program in CASES for case in CASES[program]])
def test_edges(tidy: Stack, library: str, program: str, case: str) -> None:
    command = (f"/programs/{library}/{program}", case)
    seen = assert_same(tidy, "programs", *command, options=("--ulimit=core=0",))
    assert seen.status == (139 if case == "bad-frame" else 0)
