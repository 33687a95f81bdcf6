"""The runtime's zygote lets a child answer call after call: with nothing of one caller left when the next one comes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.fake_host import REFUSAL, UNKNOWN_POOL
from tests.harness.patience import PATIENCE
from tests.harness.process import all_processes, wait_until
from tests.harness.runtime import RuntimeUnderTest
from zygote import protocol
from zygote.child import FREE_NOTE, _wait_for_listener
from zygote.resident import FREE_MAX


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[RuntimeUnderTest]:
    under_test = RuntimeUnderTest(tmp_path, zygote=True)
    yield under_test
    under_test.close()


def children(zygote: int) -> dict[int, str]:
    """Name by process id."""
    return {info.pid: info.name for info in all_processes().values() if info.parent == zygote and info.state != "Z"}


def waiting_children(zygote: int) -> set[int]:
    """The zygote's children, once none of them is in a call."""
    assert wait_until(lambda: set(children(zygote).values()) == {"teemate-spare"}), children(zygote)
    return set(children(zygote))


def zygote_of(runtime: RuntimeUnderTest) -> int:
    assert runtime.zygote
    return runtime.zygote.process.pid


# Of calls that come in turn the first may take so long that a second child is forked meanwhile, but no more.
IN_TURN = 2


def test_one_after_the_other_is_answered_without_a_fork(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({"io.teemate.mate": "/.teemate/mate"})
    seen: set[int] = set()
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
        seen |= waiting_children(zygote_of(runtime))
        done = runtime(*words)
        assert done.returncode == status, (words, done.stderr)
    assert len(seen | waiting_children(zygote_of(runtime))) <= IN_TURN
    assert runtime.zygote and not runtime.zygote.complaints()
    assert runtime.host.wait_nothing_held()


def test_a_call_that_is_refused_leaves_nothing_either(runtime: RuntimeUnderTest) -> None:
    """No lease for it, or a delegate that cannot be executed: the child gives back what it had, and goes on."""
    good = runtime.directory / "runc"
    broken = runtime.directory / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    seen: set[int] = set()
    for pool, delegate, said in (
        (UNKNOWN_POOL, good, REFUSAL),
        ("default", broken, "cannot be executed"),
        ("default", good, ""),
    ):
        runtime.settings |= {"pool": pool, "delegate": str(delegate)}
        for command, status in (("create", 0), ("run", 7)):
            seen |= waiting_children(zygote_of(runtime))
            done = runtime(command, "--bundle", runtime.bundle, "c1")
            assert said in done.stderr
            assert done.returncode == (1 if said else status), done.stderr
            assert runtime.host.wait_nothing_held()
    assert len(seen | waiting_children(zygote_of(runtime))) <= IN_TURN
    assert runtime.zygote and not runtime.zygote.complaints()


def open_files(process: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(link.readlink()))
    return found


def test_it_holds_nothing_of_its_caller_when_that_is_told(runtime: RuntimeUnderTest) -> None:
    """Else a caller could not unmount its directory, and who reads its output would wait for an end."""
    directory = runtime.directory / "directory of the caller"
    directory.mkdir()
    for _ in range(2 * IN_TURN):
        with subprocess.Popen(
            runtime.command("nonsense"), cwd=directory, env=runtime.full_environment(), stderr=subprocess.PIPE
        ) as front:
            assert front.wait(PATIENCE) == 1
            assert front.stderr
            pipe = f"pipe:[{os.fstat(front.stderr.fileno()).st_ino}]"
            for child in children(zygote_of(runtime)):
                assert pipe not in open_files(child)
                assert Path(f"/proc/{child}/cwd").readlink() != directory


def test_many_at_once_leave_a_few_that_wait(runtime: RuntimeUnderTest) -> None:
    hold = runtime.directory / "hold-create"
    hold.touch()
    environment = runtime.full_environment()  # once: it writes the file that all of them read
    commands = [runtime.command("create", "--bundle", runtime.bundle, f"c{number}") for number in range(8)]
    fronts = [subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) for command in commands]
    assert wait_until(lambda: list(children(zygote_of(runtime)).values()).count("teemate-call") == len(fronts))
    hold.unlink()
    for front in fronts:
        assert front.wait(PATIENCE) == 0
    assert wait_until(lambda: len(waiting_children(zygote_of(runtime))) == 1 + FREE_MAX)


def test_one_that_is_killed_while_it_waits_is_replaced(runtime: RuntimeUnderTest) -> None:
    for _ in range(2 * IN_TURN):
        assert runtime("--version").returncode == 0
        for child in waiting_children(zygote_of(runtime)):
            os.kill(child, signal.SIGKILL)


def test_they_end_with_the_zygote(runtime: RuntimeUnderTest) -> None:
    """But for the one in a call, which ends after it."""
    hold = runtime.directory / "hold-create"
    hold.touch()
    front = runtime.start("create", "--bundle", runtime.bundle, "c1")
    zygote = zygote_of(runtime)
    assert wait_until(lambda: sorted(children(zygote).values()) == ["teemate-call", "teemate-spare"])
    own = children(zygote)
    assert runtime.zygote
    runtime.zygote.kill()
    assert wait_until(lambda: [own[pid] for pid in own.keys() & all_processes().keys()] == ["teemate-call"])
    hold.unlink()
    front.communicate(timeout=PATIENCE)
    assert front.returncode == 0
    assert wait_until(lambda: not own.keys() & all_processes().keys())


# A program whose answers leave what they have opened open, once there is a file that tells so.
_LEAKY = """
import os, sys
from pathlib import Path
from zygote.program import Program
from zygote.protocol import PROGRAMS, send_done
from zygote.resident import serve

def answer(call, connection, caller):
    with open(sys.argv[3], "a") as answered_by:
        print(os.getpid(), file=answered_by)
    if Path(sys.argv[2]).exists():
        os.open("/dev/null", os.O_RDONLY)
    send_done(connection, 0)

nothing = lambda *_: None
serve(Path(sys.argv[1]), Program(PROGRAMS["runtime"], answer, nothing, nothing, nothing, is_reusable=True))
"""


def test_what_leaves_something_open_answers_no_other_call(tmp_path: Path) -> None:
    path, leak, answered_by = (tmp_path / name for name in ("zygote.sock", "leak", "answered-by"))
    with subprocess.Popen([sys.executable, "-c", _LEAKY, path, leak, answered_by], stdin=subprocess.PIPE) as zygote:
        assert wait_until(path.exists)

        def call(times: int) -> list[str]:
            for _ in range(times):
                waiting_children(zygote.pid)
                assert _call(path) == 0
            return answered_by.read_text().split()[-times:]

        assert len(set(call(6))) <= IN_TURN
        leak.touch()
        call(2)
        assert len(set(call(6))) == 6
        assert zygote.stdin
        zygote.stdin.close()


def test_who_is_called_free_has_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a call that follows would find the zygote forking."""
    ours, childs = socket.socketpair()
    names: list[bytes] = []

    def set_name(name: bytes) -> None:
        assert ours.recv(1, socket.MSG_DONTWAIT) == FREE_NOTE
        names.append(name)

    monkeypatch.setattr("zygote.child.set_name", set_name)
    ours.shutdown(socket.SHUT_WR)
    with ours, childs:
        assert _wait_for_listener(childs) is None
    assert names == [b"teemate-spare"]


def _call(path: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as front:
        front.settimeout(PATIENCE)
        front.connect(str(path))
        protocol.send_call(
            front, protocol.PROGRAMS["runtime"], directory=path.parent, environment={}, arguments=["--version"]
        )
        return protocol.finish_call(front, [0, 1, 2])
