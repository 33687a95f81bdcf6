"""What a process ignored before it became a mate, its program ignores: also signals that the mate catches itself."""

from __future__ import annotations

import signal

import pytest

from tests.unit import mate_process
from tests.unit.mate_process import Compartment


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()


@pytest.mark.parametrize("names", [(), ("SIGHUP",), ("SIGQUIT", "SIGFPE", "SIGUSR2")])
def test_ignored_signals_stay_ignored(compartment: Compartment, names: tuple[str, ...]) -> None:
    def ignore() -> None:
        for name in names:
            signal.signal(signal.Signals[name], signal.SIG_IGN)

    done = compartment.run("/bin/bash", "-c", "trap", before=ignore)
    listed = [line.removeprefix("trap -- '' ") for line in done.stdout.splitlines()]
    assert (done.returncode, tuple(listed)) == (0, names), done.stderr
