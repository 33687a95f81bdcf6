"""Every child of the shim, and every orphan below it, is reaped here; nobody else calls wait."""

import asyncio
import ctypes
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36
# Exits of processes that nobody has asked about yet: a container may end before its pid is known.
UNCLAIMED_MAX = 4096


@dataclass(frozen=True)
class Exit:
    """How a process ended. `status` is 0 to 255, or 128 + signal; `time_ns` is since the epoch."""

    pid: int
    status: int
    time_ns: int


def become_subreaper() -> None:
    """Orphaned container processes become our children (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Reaper:
    """Collects exits by SIGCHLD and hands each to whoever waits for that pid, early or late."""

    def __init__(self) -> None:
        self.stirred: Callable[[], None] = lambda: None
        """Called for each exit."""
        self._waiting: dict[int, asyncio.Future[Exit]] = {}
        self._unclaimed: OrderedDict[int, tuple[int, Exit]] = OrderedDict()
        self.count = 0
        """Of the exits so far."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, whenever `loop` runs."""
        loop.add_signal_handler(signal.SIGCHLD, self.reap)
        self.reap()

    def exit_of(self, pid: int, *, since: int = 0) -> "asyncio.Future[Exit]":
        """A future of the process's exit. Ask once per process, before or after it ends.

        `since` is `count` at some time before the process was started: an earlier exit is that of another process,
        which had the same pid.
        """
        future = self._waiting.get(pid)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            early = self._unclaimed.pop(pid, None)
            if early is not None and early[0] > since:
                future.set_result(early[1])
            else:
                self._waiting[pid] = future
        return future

    def reap(self) -> None:
        """Collect every process that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.stirred()
            code = os.waitstatus_to_exitcode(status)
            self._deliver(Exit(pid=pid, status=code if code >= 0 else 128 - code, time_ns=time.time_ns()))

    def _deliver(self, ended: Exit) -> None:
        self.count += 1
        future = self._waiting.pop(ended.pid, None)
        if future is not None:
            if not future.done():
                future.set_result(ended)
            return
        self._unclaimed[ended.pid] = (self.count, ended)
        while len(self._unclaimed) > UNCLAIMED_MAX:
            self._unclaimed.popitem(last=False)
