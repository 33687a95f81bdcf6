"""enclave/clock.c: the time that is computed between the host's answers."""

from pathlib import Path

from tests.harness.native import run_driver


def test_a_reader_that_was_held_up_is_not_ahead_of_later_ones(tmp_path: Path) -> None:
    run_driver("clock_driver", directory=tmp_path, sources=("clock.c",))
