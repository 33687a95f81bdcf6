"""The control groups that the next caller is expected in: those of the last one. All children of a zygote see them.

A move between control groups takes as long as a grace period (enclave_host/cgroup_migration.py), unless one has passed
lately. So a child that waits for a call is already where it would have to move.
"""

import mmap
import os
import struct

from zygote import caller as callers

_SIZE = mmap.PAGESIZE
_LENGTH = struct.Struct("<I")


class ExpectedGroups:
    """Make it before the fork."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _SIZE)  # MAP_SHARED: a child's note is seen by those forked later

    def note(self, membership: str) -> None:
        """A caller was there; `membership` is its /proc/PID/cgroup. One that takes more than a page is not expected."""
        text = os.fsencode(membership)
        if len(text) <= _SIZE - _LENGTH.size:
            # Two notes at once may mix. Then the next child waits in the wrong place, and moves when it is called.
            self._shared[: _LENGTH.size + len(text)] = _LENGTH.pack(len(text)) + text

    def join(self) -> None:
        """Move there. Where that is not possible (any more) the call itself finds out. Raises OSError."""
        (length,) = _LENGTH.unpack_from(self._shared)
        callers.join_groups(os.fsdecode(self._shared[_LENGTH.size : _LENGTH.size + length]))
