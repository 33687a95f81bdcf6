"""Host processes: handles that survive the reuse of process ids, and descriptors taken back from them."""

import ctypes
import errno
import os
import select
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from enclave_host.closing import close_aside
from enclave_host.errors import HostError
from enclave_host.providers.base import FileIdentity, FilePlace, file_identity

_SYS_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessGoneError(HostError):
    """There is no such process, or it has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid} does not exist or has ended", code=errno.ESRCH)


@dataclass(frozen=True)
class Process:
    """A living process when opened. The pidfd becomes readable when it ends; close() it then."""

    pid: int
    start_time: int
    pidfd: int

    @property
    def has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        os.close(self.pidfd)


def open_process(pid: int) -> Process:
    """A handle on a living process (a thread group leader). Raises ProcessGoneError."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        # A thread that is no process: EINVAL, since Linux 6.16 ENOENT.
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            raise ProcessGoneError(pid) from error
        raise
    try:
        # The start time is that of the pidfd's process: it lived, unreaped or not, while the file was read.
        process = Process(pid=pid, start_time=_start_time(pid), pidfd=pidfd)
        if process.has_ended:
            raise ProcessGoneError(pid)
    except BaseException:
        os.close(pidfd)
        raise
    return process


def _start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat: clock ticks after boot."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError as error:
        raise ProcessGoneError(pid) from error
    return int(content.rpartition(")")[2].split()[19])


def take_descriptor(process: Process, number: int) -> int:
    """A copy of another process's descriptor (pidfd_getfd), close-on-exec."""
    fd: int = _libc.syscall(_SYS_PIDFD_GETFD, process.pidfd, number, 0)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"pidfd_getfd of descriptor {number} of process {process.pid}: {os.strerror(code)}")
    return fd


def take_files(process: Process, wanted: AbstractSet[FileIdentity]) -> dict[FileIdentity, int]:
    """Copies of those of the files that the process has open (pidfd_getfd), to be closed by the caller.

    Foreign files are not looked at: of a file of FUSE even stat asks the server, which may be the process itself, and
    never answer. The kernel alone says where a file is; stat is for our copy. The process may have put something else
    there in between, which is let go of aside, since a close may wait, too.
    """
    taken: dict[FileIdentity, int] = {}
    for number in _candidates(process.pid, wanted):
        try:
            fd = take_descriptor(process, number)
        except OSError:
            continue  # closed meanwhile
        identity = file_identity(fd) if _may_be_wanted(fd, wanted) else None
        if identity is not None and identity in wanted and identity not in taken:
            taken[identity] = fd
        else:
            close_aside([fd])
    return taken


def _candidates(pid: int, wanted: AbstractSet[FileIdentity]) -> Iterator[int]:
    """Numbers of descriptors that look like the wanted files."""
    try:
        numbers = sorted(int(name.name) for name in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for number in numbers:
        try:
            place = FilePlace.of(pid, number)
        except OSError:
            continue  # closed meanwhile
        if any(place.may_be(identity) for identity in wanted):
            yield number


def _may_be_wanted(fd: int, wanted: AbstractSet[FileIdentity]) -> bool:
    place = FilePlace.of("self", fd)
    return any(place.may_be(identity) for identity in wanted)
