"""enclave/clock.c: the time that is computed between the host's answers."""

import subprocess
from pathlib import Path

from tests.harness.native import compile_native


def test_a_reader_that_was_held_up_is_not_ahead_of_later_ones(tmp_path: Path) -> None:
    program = compile_native(
        tmp_path / "clock_driver",
        driver=Path(__file__).parent / "native" / "clock_driver.c",
        sources=("clock.c",),
    )
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
