"""A container's life in ctr commands, and what a user sees of it: to be compared between shims."""

from __future__ import annotations

import re
from dataclasses import dataclass
from subprocess import CompletedProcess

from tests.harness import shim as tasks_of
from tests.harness.containerd import STOCK_SHIM
from tests.harness.process import wait_until
from tests.harness.stack import Stack
from tests.harness.terminal import Terminal


@dataclass(frozen=True)
class Seen:
    status: int
    output: str
    errors: str


def seen(done: CompletedProcess[str]) -> Seen:
    """Process ids and durations differ from run to run, and with their digits the widths of columns."""

    def common(text: str) -> str:
        return re.sub(r" {2,}", "  ", re.sub(r"\d{2,}", "N", text))

    return Seen(done.returncode, common(done.stdout), common(done.stderr))


def outliving_output(shim: str, script: str) -> tuple[str, ...]:
    """The script as a command; for the stock shim it ends a while after its output.

    Of an end that ctr hears of before it has begun to read, it loses the output. Our shim tells it later.
    """
    return ("sh", "-c", f"trap 'sleep 1' EXIT; {script}" if shim == STOCK_SHIM else script)


COMMANDS = {
    "output": "echo out; echo err >&2",
    "status": "exit 23",
    "signal": "kill -TERM $$",
    "much output": "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done",
    "environment": "echo $FROM_OUTSIDE; pwd; id -u",
}


def run(stack: Stack, shim: str, name: str) -> Seen:
    """`ctr run --rm` of one of COMMANDS."""
    image = stack.ctr_image("busybox")
    options = ("--env=FROM_OUTSIDE=yes", "--cwd=/bin", "--user=7")
    command = outliving_output(shim, COMMANDS[name])
    return seen(stack.containerd.run_with_shim(image, "same", *command, shim=shim, options=options))


def session(stack: Stack, shim: str) -> list[tuple[str, Seen]]:
    """A container's life in ctr commands."""
    ctr = stack.containerd.ctr
    image = stack.ctr_image("busybox")
    record: list[tuple[str, Seen]] = []

    def step(*words: str) -> None:
        record.append((" ".join(words), seen(ctr(*words))))

    started = stack.containerd.run_with_shim(image, "life", "sleep", "1000", shim=shim, options=("--detach",))
    record.append(("run", seen(started)))
    step("tasks", "ls")
    step("tasks", "exec", "--exec-id=e1", "life", *outliving_output(shim, "echo hello; exit 9"))
    step("tasks", "exec", "--exec-id=e2", "life", "sh", "-c", "kill -KILL $$")
    step("tasks", "exec", "--exec-id=e3", "--cwd=/bin", "life", *outliving_output(shim, "pwd"))
    step("tasks", "exec", "--exec-id=bad/id", "life", "true")
    step("tasks", "exec", "--exec-id=d1", "--detach", "life", "sleep", "1000")
    record.append(("ps", Seen(0, str(len(ctr("tasks", "ps", "life").stdout.splitlines())), "")))
    step("tasks", "kill", "--exec-id=d1", "--signal=SIGKILL", "life")
    metrics = ctr("tasks", "metrics", "life")
    names = re.findall(r"^(\w[\w.]+)", metrics.stdout, re.MULTILINE)
    record.append(("metrics", Seen(metrics.returncode, " ".join(sorted(set(names))), "")))
    step("tasks", "pause", "life")
    step("tasks", "ls")
    step("tasks", "resume", "life")
    step("tasks", "ls")
    step("tasks", "start", "life")
    step("tasks", "delete", "life")
    step("tasks", "kill", "--signal=SIGKILL", "life")
    tasks_of.wait_status(stack.containerd, "life", "STOPPED")
    step("tasks", "ls")
    step("tasks", "kill", "--signal=SIGKILL", "life")
    step("tasks", "exec", "--exec-id=late", "life", "true")
    step("tasks", "delete", "life")
    step("tasks", "delete", "life")
    step("containers", "delete", "life")
    step("tasks", "ls")
    return record


def on_a_terminal(stack: Stack, shim: str) -> bytes:
    """What a user sees who types into a container."""
    script = "echo ready; read a; echo got $a; read b; exec stty size"
    image = stack.ctr_image("busybox")
    words = stack.containerd.run_argv(image, "tty", "sh", "-c", script, shim=shim, options=("--tty",))
    terminal = Terminal(words, columns=91, rows=37)
    try:
        terminal.expect(b"ready")  # until ctr has taken it over, the terminal itself would echo
        terminal.send(b"this\n")
        terminal.expect(b"got this")
        # ctr passes the size on soon after the start, not before it
        assert wait_until(lambda: tasks_of.terminal_size(stack.containerd, "tty") == (37, 91))
        terminal.send(b"\n")
        terminal.expect(b"37 91")
        assert terminal.wait() == 0
        return terminal.seen
    finally:
        terminal.close()
        tasks_of.remove(stack.containerd, "tty")


# What a message is about must be the same; how the stock shim words these is its own affair.
STATUS_ONLY = {
    "tasks exec --exec-id=late life true",
}


def assert_same(native: list[tuple[str, Seen]], ours: list[tuple[str, Seen]]) -> None:
    """Two sessions, that of the stock shim and that of ours."""
    for (name, expected), (_, found) in zip(native, ours, strict=True):
        if name in STATUS_ONLY:
            assert (found.status, found.output) == (expected.status, expected.output), name
        else:
            assert found == expected, name
