"""The commands of a docker user against a container in an enclave."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.patience import GRACE, PATIENCE
from tests.harness.process import wait_until
from tests.harness.stack import Stack
from tests.harness.terminal import Terminal
from tests.integration.comparison import assert_same

SLEEP = ("sleep", "1000")


@contextmanager
def detached(stack: Stack, image: str, *command: str, options: tuple[str, ...] = (), shows: str = "") -> Iterator[str]:
    """A container in the background which has printed `shows`; removed at the end."""
    name = stack.docker_image(image)
    container = stack.docker.check("run", "--detach", "--runtime=teemate", *options, name, *command)
    try:
        assert wait_until(lambda: shows in logs(stack, container)), logs(stack, container)
        yield container
    finally:
        stack.docker.check("rm", "--force", container)


def logs(stack: Stack, container: str) -> str:
    done = stack.docker("logs", container)
    return (done.stdout + done.stderr).decode()


def test_logs(tidy: Stack) -> None:
    with detached(tidy, "busybox", "sh", "-c", "echo out; echo err >&2") as container:
        tidy.docker.check("wait", container)
        done = tidy.docker("logs", container)
        assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_stop_runs_the_handler(tidy: Stack) -> None:
    with detached(tidy, "programs", "/programs/glibc-dynamic/signals", "term", shows="ready") as container:
        tidy.docker.check("stop", f"--time={GRACE}", container)
        assert tidy.docker.inspect(container, "{{.State.ExitCode}}") == "3"
        assert "asked to end" in logs(tidy, container)


def test_stop_kills_what_does_not_obey(tidy: Stack) -> None:
    with detached(tidy, "programs", "/programs/glibc-dynamic/spin", shows="ready") as container:
        tidy.docker.check("stop", "--time=1", container)
        assert tidy.docker.inspect(container, "{{.State.ExitCode}}") == "137"


@pytest.mark.parametrize("threads", ["", "threads"])
def test_kill(tidy: Stack, threads: str) -> None:
    with detached(tidy, "programs", "/programs/glibc-dynamic/spin", threads, shows="ready") as container:
        tidy.docker.check("kill", container)
        assert tidy.docker.check("wait", container) == "137"


def test_kill_with_a_signal(tidy: Stack) -> None:
    options = ("--pid=host",)
    with detached(tidy, "programs", "/programs/glibc-dynamic/spin", options=options, shows="ready") as container:
        tidy.docker.check("kill", "--signal=USR2", container)
        assert tidy.docker.check("wait", container) == str(128 + signal.SIGUSR2)


def test_exec_has_a_lease_of_its_own(tidy: Stack) -> None:
    with detached(tidy, "busybox", *SLEEP) as container:
        assert len(tidy.hostd.leases()) == 1
        assert tidy.docker.check("exec", container, "echo", "inside") == "inside"
        failing = tidy.docker("exec", "--env=X=5", "--workdir=/tmp", container, "sh", "-c", 'echo "$X $PWD"; exit 6')
        assert (failing.returncode, failing.stdout) == (6, b"5 /tmp\n")
        echo = tidy.docker("exec", "-i", container, "cat", stdin=b"through\n")
        assert echo.stdout == b"through\n"
        sleeper = tidy.docker.popen("exec", container, "sleep", "1000")
        assert wait_until(lambda: len(tidy.hostd.leases()) == 2)
        tidy.docker.check("kill", container)
        sleeper.wait(timeout=PATIENCE)


def test_exec_of_a_missing_program(tidy: Stack) -> None:
    with detached(tidy, "busybox", *SLEEP) as container:
        done = tidy.docker("exec", container, "no-such-program")
        assert done.returncode in (126, 127)
        assert b"no-such-program" in done.stdout + done.stderr
        assert wait_until(lambda: len(tidy.hostd.leases()) == 1)


def test_terminal(tidy: Stack) -> None:
    image = tidy.docker_image("programs")
    options = ("--rm", "-it", "--name=keyboard", "--runtime=teemate")
    words = tidy.docker.argv("run", *options, image, "/programs/glibc-dynamic/terminal")
    terminal = Terminal(words, columns=111, rows=33)
    try:
        terminal.expect(b"terminal 1 1 1")
        terminal.expect(b"modes 0 echo 1")
        terminal.expect(b"ready")
        terminal.send(b"wordx\x7f\n")  # the line discipline edits
        terminal.expect(b"line word\r\n")
        terminal.send(b"\x03")
        terminal.expect(b"interrupted")
        # docker passes the size on soon after the start, not before it
        assert wait_until(lambda: size_of(terminal) == b"111x33")
        terminal.send(b"quit\n")
        assert terminal.wait() == 7
    finally:
        terminal.close()
        tidy.docker("rm", "--force", "keyboard")


def size_of(terminal: Terminal) -> bytes:
    terminal.send(b"size\n")
    terminal.expect(b"size ")
    return terminal.expect(b"\r\n")


def test_terminal_of_exec(tidy: Stack) -> None:
    with detached(tidy, "busybox", *SLEEP) as container:
        terminal = Terminal(tidy.docker.argv("exec", "-it", container, "sh"))
        try:
            terminal.expect(b"/ # ")
            terminal.send(b"[ -t 0 ] && [ -t 1 ] && echo terminal $((6 * 7))\n")
            terminal.expect(b"terminal 42\r\n")
            terminal.send(b"exit 4\n")
            assert terminal.wait() == 4
        finally:
            terminal.close()


def test_volumes(tidy: Stack, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from the host\n")
    script = "read x < /data/in; echo $x; echo from inside > /data/out; echo x > /fixed/y; echo status $?"
    options = (f"--volume={tmp_path}:/data", f"--volume={tmp_path}:/fixed:ro")
    seen = assert_same(tidy, "busybox", "sh", "-c", script, options=options)
    assert seen.output == b"from the host\nstatus 1\n"
    assert (tmp_path / "out").read_text() == "from inside\n"


def test_read_only_root(tidy: Stack) -> None:
    script = "echo x > /file; echo $?; echo y > /tmp/file && cat /tmp/file"
    seen = assert_same(tidy, "busybox", "sh", "-c", script, options=("--read-only", "--tmpfs=/tmp"))
    assert seen.output == b"1\ny\n"


def test_read_only_root_without_capabilities_as_a_user(tidy: Stack) -> None:
    options = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=1000", "--network=none")
    seen = assert_same(tidy, "python", "python3", "-c", "import os; print(os.getuid(), 6 * 7)", options=options)
    assert seen.output == b"1000 42\n"


def test_memory_limit_ends_the_container(tidy: Stack) -> None:
    with detached(
        tidy, "programs", "/programs/glibc-dynamic/memory_hog", "900", options=("--memory=64m", "--memory-swap=64m")
    ) as container:
        since = tidy.docker.inspect(container, "{{.Created}}")
        assert tidy.docker.check("wait", container) == "137"

        def reported() -> str:
            filters = (f"--filter=container={container}", "--filter=event=oom")
            return tidy.docker.check("events", f"--since={since}", f"--until={time.time() + 1:.0f}", *filters)

        # OOMKilled in the container's state is true only if the stock shim happens to tell of this before the exit
        assert wait_until(lambda: bool(reported()))


def test_created_and_removed_without_start(tidy: Stack) -> None:
    image = tidy.docker_image("busybox")
    container = tidy.docker.check("create", "--runtime=teemate", image, "true")
    tidy.docker.check("rm", container)


def test_restarted(tidy: Stack) -> None:
    with detached(tidy, "busybox", "sh", "-c", "echo once more; exec sleep 1000", shows="once more") as container:
        tidy.docker.check("restart", "--time=1", container)
        assert wait_until(lambda: logs(tidy, container).count("once more") == 2)


def test_paused(tidy: Stack) -> None:
    with detached(tidy, "programs", "/programs/glibc-dynamic/spin", shows="ready") as container:
        tidy.docker.check("pause", container)
        assert tidy.docker.inspect(container, "{{.State.Status}}") == "paused"
        tidy.docker.check("unpause", container)
        assert tidy.docker.inspect(container, "{{.State.Status}}") == "running"


def test_top(tidy: Stack) -> None:
    with detached(tidy, "busybox", *SLEEP) as container:
        assert len(tidy.docker.check("top", container).splitlines()) == 2


def test_the_image_is_not_written_to(tidy: Stack) -> None:
    with detached(tidy, "busybox", *SLEEP) as container:
        changed = tidy.docker.check("diff", container)
        assert changed == ""


def test_ps_names_container_pool_and_compartment(tidy: Stack) -> None:
    with detached(tidy, "busybox", *SLEEP) as container:
        (row,) = tidy.hostd.listing("ps")
        assert container in str(row["container"]) and row["pool"] == "default"
        shown = tidy.hostd.teemate("ps").stdout
        assert container[:12] in shown and "default" in shown
    assert wait_until(lambda: tidy.hostd.listing("ps") == [])
