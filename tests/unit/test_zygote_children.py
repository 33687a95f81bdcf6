"""The runtime's zygote lets a child answer call after call: with nothing of one caller left when the next one comes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE
from tests.harness.process import all_processes, wait_until
from tests.harness.runtime import RuntimeUnderTest
from zygote import protocol
from zygote.resident import FREE_MAX


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[RuntimeUnderTest]:
    under_test = RuntimeUnderTest(tmp_path, zygote=True)
    yield under_test
    under_test.close()


def children(runtime: RuntimeUnderTest) -> dict[int, str]:
    """Name by process id."""
    assert runtime.zygote
    pid = runtime.zygote.process.pid
    return {info.pid: info.name for info in all_processes().values() if info.parent == pid and info.state != "Z"}


def all_waiting(runtime: RuntimeUnderTest, count: int) -> bool:
    return list(children(runtime).values()) == ["teemate-spare"] * count


def settle(runtime: RuntimeUnderTest) -> set[int]:
    """After a call there are two: the one that has answered it, and the one that was forked to take the next."""
    assert runtime("--version").returncode == 0
    assert wait_until(lambda: all_waiting(runtime, 2)), children(runtime)
    return set(children(runtime))


def test_one_after_the_other_is_answered_without_a_fork(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({"io.teemate.mate": "/.teemate/mate"})
    before = settle(runtime)
    for words, status in (
        (("create", "--bundle", runtime.bundle, "c1"), 0),
        (("state", "c1"), 0),
        (("exec", "c1", "/bin/true"), 0),
        (("exec", "--detach", "c1", "/bin/true"), 0),
        (("run", "--bundle", runtime.bundle, "c2"), 7),
        (("run", "--bundle", runtime.bundle, "c3"), 7),
        (("delete", "c1"), 0),
        (("features",), 1),
        (("create", "--bundle", "/nonexistent", "c4"), 1),
        (("checkpoint", "c1"), 1),
        (("nonsense",), 1),
    ):
        done = runtime(*words)
        assert done.returncode == status, (words, done.stderr)
        assert wait_until(lambda: all_waiting(runtime, 2)), (words, children(runtime))
    assert set(children(runtime)) == before
    assert runtime.zygote and not runtime.zygote.complaints()
    assert runtime.host.wait_nothing_held()


def test_it_holds_nothing_of_its_caller_when_that_is_told(runtime: RuntimeUnderTest) -> None:
    """Else a caller could not unmount its directory, and who reads its output would wait for an end."""
    before = settle(runtime)
    directory = runtime.directory / "directory of the caller"
    directory.mkdir()
    for _ in range(2 * len(before)):
        with subprocess.Popen(
            runtime.command("features"), cwd=directory, env=runtime.full_environment(), stdout=subprocess.PIPE
        ) as front:
            front.wait(PATIENCE)
            held = {str(link.readlink()) for child in before for link in Path(f"/proc/{child}/fd").iterdir()}
            assert front.stdout
            assert f"pipe:[{os.fstat(front.stdout.fileno()).st_ino}]" not in held
            assert {str(Path(f"/proc/{child}/cwd").readlink()) for child in before}.isdisjoint({str(directory)})
    assert set(children(runtime)) == before


def test_many_at_once_leave_a_few_that_wait(runtime: RuntimeUnderTest) -> None:
    hold = runtime.directory / "hold-create"
    hold.touch()
    environment = runtime.full_environment()  # once: it writes the file that all of them read
    commands = [runtime.command("create", "--bundle", runtime.bundle, f"c{number}") for number in range(8)]
    fronts = [subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) for command in commands]
    assert wait_until(lambda: list(children(runtime).values()).count("teemate-call") == len(fronts))
    hold.unlink()
    for front in fronts:
        assert front.wait(PATIENCE) == 0
    assert wait_until(lambda: all_waiting(runtime, 1 + FREE_MAX)), children(runtime)


def test_one_that_is_killed_while_it_waits_is_replaced(runtime: RuntimeUnderTest) -> None:
    for child in settle(runtime):
        os.kill(child, signal.SIGKILL)
    assert runtime("--version").returncode == 0
    assert runtime("--version").returncode == 0


def test_they_end_with_the_zygote(runtime: RuntimeUnderTest) -> None:
    hold = runtime.directory / "hold-create"
    waiting = settle(runtime)
    hold.touch()
    front = runtime.start("create", "--bundle", runtime.bundle, "c1")
    assert wait_until(lambda: bool(runtime.calls("create")))
    assert runtime.zygote
    runtime.zygote.kill()
    assert wait_until(lambda: len(waiting & set(all_processes())) == 1)  # the one in a call
    hold.unlink()
    front.communicate(timeout=PATIENCE)
    assert front.returncode == 0
    assert wait_until(lambda: not waiting & set(all_processes()))


# A program whose answers leave what they have opened open, once there is a file that tells so.
_LEAKY = """
import os, sys
from pathlib import Path
from zygote.program import Program
from zygote.protocol import PROGRAMS, send_done
from zygote.resident import serve

def answer(call, connection, caller):
    if Path(sys.argv[2]).exists():
        os.open("/dev/null", os.O_RDONLY)
    send_done(connection, os.getpid() % 251)

serve(Path(sys.argv[1]), Program(PROGRAMS["runtime"], answer, lambda: None, lambda _: None, is_reusable=True))
"""


def test_what_leaves_something_open_answers_no_other_call(tmp_path: Path) -> None:
    path, leak = tmp_path / "zygote.sock", tmp_path / "leak"
    with subprocess.Popen([sys.executable, "-c", _LEAKY, path, leak], stdin=subprocess.PIPE) as zygote:
        assert wait_until(path.exists)
        statuses = [_call(path) for _ in range(6)]
        assert len(set(statuses)) <= 2
        leak.touch()
        _call(path), _call(path)
        assert len({_call(path) for _ in range(6)}) == 6
        assert zygote.stdin
        zygote.stdin.close()


def _call(path: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as front:
        front.settimeout(PATIENCE)
        front.connect(str(path))
        protocol.send_call(
            front, protocol.PROGRAMS["runtime"], directory=path.parent, environment={}, arguments=["--version"]
        )
        return protocol.finish_call(front, [0, 1, 2])
