"""`ctr tasks attach`: a second client takes over a container's streams, with the stock shim and with ours."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness import shim as tasks_of
from tests.harness.containerd import OWN_SHIM, STOCK_SHIM
from tests.harness.paths import CTR
from tests.harness.patience import PATIENCE
from tests.harness.process import clean_environment
from tests.harness.stack import Stack
from tests.harness.terminal import Terminal

# Perl: its handlers run at any time, also while it sleeps.
TICKING = (
    "perl",
    "-e",
    '$| = 1; $SIG{TERM} = sub { print "ending\\n"; print STDERR "complaining\\n"; exit 7 };'
    ' print "tick\\n" while !select(undef, undef, undef, 0.2)',
)


def ctr(stack: Stack, *words: str) -> list[str]:
    return [str(CTR), "--address", str(stack.containerd.socket), *words]


def attached(stack: Stack, shim: str) -> tuple[int, list[str], str]:
    """What an attached client saw: its status, the lines of its output, each once, and its errors."""
    image = stack.ctr_image("perl")
    stack.containerd.run_with_shim(image, "ticking", *TICKING, shim=shim, options=("--detach",))
    client = subprocess.Popen(
        ctr(stack, "tasks", "attach", "ticking"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        assert client.stdout and client.stdout.readline() == "tick\n"
        stack.containerd.ctr("tasks", "kill", "--signal=SIGTERM", "ticking")
        output, errors = client.communicate(timeout=PATIENCE)
        return client.returncode, sorted({"tick", *output.splitlines()}), errors
    finally:
        client.kill()
        client.wait()
        tasks_of.remove(stack.containerd, "ticking")


def test_attach(tidy: Stack) -> None:
    native, ours = attached(tidy, STOCK_SHIM), attached(tidy, OWN_SHIM)
    assert native == ours
    assert ours == (7, ["ending", "tick"], "complaining\n")


def test_one_client_after_the_other(tidy: Stack) -> None:
    """The container does not notice that a client has gone, and the next one sees what comes from then on."""
    image = tidy.ctr_image("perl")
    tidy.containerd.run_with_shim(image, "ticking", *TICKING, options=("--detach",))
    for _ in range(2):
        client = subprocess.Popen(
            ctr(tidy, "tasks", "attach", "ticking"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=clean_environment(),
        )
        assert client.stdout
        assert client.stdout.readline() == b"tick\n"
        client.kill()
        client.wait()
        client.stdout.close()
    assert tasks_of.tasks(tidy.containerd)["ticking"][1] == "RUNNING"
    tasks_of.remove(tidy.containerd, "ticking")


@pytest.mark.parametrize("shim", [STOCK_SHIM, OWN_SHIM])
def test_attach_to_a_terminal(tidy: Stack, shim: str) -> None:
    image = tidy.ctr_image("busybox")
    script = "while read line; do echo got $line; done; exit 5"
    starter = Terminal(
        ctr(tidy, "run", "--detach", "--tty", f"--runtime={shim}", image, "typed", "sh", "-c", script),
        columns=91,
        rows=37,
    )
    assert starter.wait() == 0, starter.seen
    starter.close()
    terminal = Terminal(ctr(tidy, "tasks", "attach", "typed"), columns=91, rows=37)
    try:
        terminal.send(b"this\n")
        terminal.expect(b"got this")
        terminal.send(b"\x04")
        assert terminal.wait() == 5
    finally:
        terminal.close()
        tasks_of.remove(tidy.containerd, "typed")
