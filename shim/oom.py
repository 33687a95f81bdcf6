"""Noticing that the kernel has killed for want of memory in a container's control group."""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from shim.cgroup import Cgroup

IN_MODIFY = 2
_EVENT_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class OomWatch:
    """Calls `noticed` for each kill, in the loop, until closed. Without a memory controller it stays silent."""

    def __init__(self, cgroup: Cgroup, noticed: Callable[[], None]) -> None:
        self._noticed = noticed
        self._descriptor = -1
        self._events: Path | None = None
        self._kills: int | None = None  # counted in version 2 only
        self._is_kill: Callable[[], bool] = bool
        with contextlib.suppress(OSError):
            if cgroup.v2 is not None:
                self._watch_v2(cgroup.v2 / "memory.events")
            elif "memory" in cgroup.v1:
                self._watch_v1(cgroup.v1["memory"])

    def _watch_v1(self, directory: Path) -> None:
        """The kernel's eventfd (cgroup-v1/memory.rst, 10). It also fires when the control group is removed."""
        self._events = directory / "memory.oom_control"
        control = os.open(self._events, os.O_RDONLY | os.O_CLOEXEC)
        try:
            descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            (directory / "cgroup.event_control").write_text(f"{descriptor} {control}")
        finally:
            os.close(control)
        self._listen(descriptor, lambda: self._events is not None and self._events.exists())

    def _watch_v2(self, events: Path) -> None:
        self._events = events
        self._kills = self._count()
        descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if descriptor < 0 or _libc.inotify_add_watch(descriptor, bytes(events), IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._listen(descriptor, self._has_killed)

    def _count(self) -> int:
        assert self._events is not None
        table = dict(line.split() for line in self._events.read_text().splitlines())
        return int(table.get("oom_kill", 0))

    def _has_killed(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            before, now = self._kills, self._count()
            self._kills = now
            return before is not None and now > before
        return False

    def _listen(self, descriptor: int, is_kill: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._is_kill = is_kill
        asyncio.get_running_loop().add_reader(descriptor, self.look)

    def look(self) -> None:
        """Notice now what has happened by now: a client takes a kill that is told after the exit for another's."""
        if self._descriptor < 0:
            return
        is_due = self._kills is not None
        with contextlib.suppress(BlockingIOError):
            is_due = bool(os.read(self._descriptor, _EVENT_BYTES))
        if is_due and self._is_kill():
            self._noticed()

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
