"""Daemons of a stack: started with a log file, watched through a pidfd, ended by that pidfd only."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.paths import SYSTEM_PATH
from tests.harness.patience import PATIENCE

# Every process of a stack carries this variable, so that what it leaves behind can be told from
# what belongs to somebody else. Containers do not inherit it: they are found as descendants.
MARKER = "TEEMATE_TEST_STACK"


class HarnessError(Exception):
    """The stage could not be set; the text says which part and shows its log."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for every program we start: nothing of the caller's leaks in."""
    environment = {"PATH": SYSTEM_PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}
    if "TMPDIR" in os.environ:
        environment["TMPDIR"] = os.environ["TMPDIR"]
    return environment | dict(extra or {})


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE, every: float = 0.05) -> bool:
    """Poll until the condition holds. A deadline for hangs, not a measurement."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """What this thread starts comes before all else on a busy machine, where we may ask for that."""
    policy, nice = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    parameter = os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.sched_setscheduler(0, policy, parameter)


class Daemon:
    """One long-running program of a stack."""

    def __init__(self, *, name: str, argv: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)

    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def wait_ready(self, ready: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
        if not wait_until(lambda: not self.alive() or ready(), seconds=seconds):
            raise HarnessError(f"{self.name} was not ready within {seconds} s\n{self.tail()}")
        if not self.alive():
            raise HarnessError(f"{self.name} ended with status {self.returncode} while starting\n{self.tail()}")

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def stop(self, *, seconds: float = PATIENCE) -> int:
        """SIGTERM, and SIGKILL to one that does not obey. Returns its status; idempotent."""
        if self._pidfd >= 0:
            self.send(signal.SIGTERM)
            if not self._ended(seconds):
                self.send(signal.SIGKILL)
            self._process.wait()
            os.close(self._pidfd)
            self._pidfd = -1
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would look."""
        self.send(signal.SIGKILL)
        self.stop()

    def _ended(self, seconds: float) -> bool:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def tail(self, lines: int = 25) -> str:
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"--- {self.name} ({self.log}):\n" + "\n".join(text[-lines:])


@dataclass(frozen=True)
class ProcessInfo:
    pid: int
    parent: int
    name: str
    state: str
    command: str

    def __str__(self) -> str:
        return f"{self.pid} {self.name} [{self.state}] {self.command}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def all_processes() -> dict[int, ProcessInfo]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        stat = _read(entry / "stat")
        if not stat:
            continue
        head, _, tail = stat.rpartition(b")")
        fields = tail.split()
        found[int(entry.name)] = ProcessInfo(
            pid=int(entry.name),
            parent=int(fields[1]),
            name=head.partition(b"(")[2].decode(errors="replace"),
            state=fields[0].decode(),
            command=_read(entry / "cmdline").replace(b"\0", b" ").decode(errors="replace").strip(),
        )
    return found


def descendants(roots: set[int], processes: Mapping[int, ProcessInfo] | None = None) -> dict[int, ProcessInfo]:
    """The processes under the roots, without the roots."""
    everything = processes or all_processes()
    children: dict[int, list[int]] = {}
    for info in everything.values():
        children.setdefault(info.parent, []).append(info.pid)
    found: dict[int, ProcessInfo] = {}
    pending = list(roots)
    while pending:
        for pid in children.get(pending.pop(), []):
            if pid not in found and pid not in roots:
                found[pid] = everything[pid]
                pending.append(pid)
    return found


def stack_processes(mark: str) -> dict[int, ProcessInfo]:
    """The processes which carry the stack's mark, and their descendants: daemons, shims, containers."""
    everything = all_processes()
    word = f"{MARKER}={mark}".encode()
    marked = {pid for pid in everything if word in _read(Path(f"/proc/{pid}/environ")).split(b"\0")}
    return {pid: everything[pid] for pid in marked} | descendants(marked, everything)


def end_processes(pids: Iterator[int] | Sequence[int]) -> None:
    """SIGKILL by pidfd, and wait until each is gone."""
    fds = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds.append(os.pidfd_open(pid))
    for fd in fds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
        poller.poll(5000)
        poller.unregister(fd)
        os.close(fd)
