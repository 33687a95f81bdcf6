"""Signals and ends: handlers, default actions, and the status that docker shows."""

from __future__ import annotations

import signal

import pytest

from tests.harness.stack import Stack
from tests.integration.comparison import assert_same

LIBRARIES = ("glibc-dynamic", "musl-static")
CASES = ["handler", "info", "mask", "segv", "repair", "divide", "overflow", "overflow-unhandled"]
CASES += ["alarm", "restart", "no-restart", "thread", "storm", "wait"]
# Not init of its PID namespace: to init the kernel does not deliver signals it has no handler for.
NOT_INIT = ("--pid=host",)
FATAL = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGPIPE", "SIGTERM", "SIGSYS", "SIGRTMIN")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", CASES)
def test_signals(tidy: Stack, library: str, case: str) -> None:
    seen = assert_same(tidy, "programs", f"/programs/{library}/signals", case, options=("--ulimit=core=0",))
    assert seen.status == (139 if case == "overflow-unhandled" else 0)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("status", ["0", "1", "42", "255", "256", "-1"])
def test_exit_status(tidy: Stack, library: str, status: str) -> None:
    seen = assert_same(tidy, "programs", f"/programs/{library}/exits", "status", status)
    assert seen.status == int(status) % 256


@pytest.mark.parametrize("how", ["group", "last-thread"])
def test_end_by_another_thread(tidy: Stack, how: str) -> None:
    seen = assert_same(tidy, "programs", "/programs/glibc-dynamic/exits", how, "7")
    assert seen.status == (7 if how == "group" else 0)


@pytest.mark.parametrize("name", FATAL)
def test_end_by_signal(tidy: Stack, name: str) -> None:
    number = signal.SIGRTMIN if name == "SIGRTMIN" else signal.Signals[name]
    command = ("/programs/glibc-dynamic/exits", "signal", str(int(number)))
    seen = assert_same(tidy, "programs", *command, options=(*NOT_INIT, "--ulimit=core=0"))
    assert seen.status == 128 + number


def test_end_by_abort(tidy: Stack) -> None:
    options = (*NOT_INIT, "--ulimit=core=0")
    assert assert_same(tidy, "programs", "/programs/glibc-dynamic/exits", "abort", options=options).status == 134


def test_init_does_not_get_signals_without_handler(tidy: Stack) -> None:
    seen = assert_same(tidy, "programs", "/programs/glibc-dynamic/exits", "signal", str(int(signal.SIGTERM)))
    assert seen.status == 100


def test_ignored_by_default(tidy: Stack) -> None:
    command = ("/programs/glibc-dynamic/exits", "signal", str(int(signal.SIGWINCH)))
    assert assert_same(tidy, "programs", *command, options=NOT_INIT).status == 100
