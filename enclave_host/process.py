"""Host processes: handles that survive the reuse of process ids, and descriptors taken back from them."""

import ctypes
import errno
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from enclave_host.errors import HostError
from enclave_host.providers.base import FileIdentity

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


def open_files(pid: int) -> Iterator[tuple[int, FileIdentity]]:
    """Descriptor numbers and identities of what a process has open, as far as it can be seen."""
    directory = Path(f"/proc/{pid}/fd")
    try:
        numbers = sorted(int(name.name) for name in directory.iterdir())
    except OSError:
        return
    for number in numbers:
        try:
            status = (directory / str(number)).stat()
        except OSError:
            continue  # closed meanwhile
        yield number, FileIdentity(device=status.st_dev, inode=status.st_ino)


def take_descriptor(process: Process, number: int) -> int:
    """A copy of another process's descriptor (pidfd_getfd), close-on-exec."""
    fd: int = _libc.syscall(_SYS_PIDFD_GETFD, process.pidfd, number, 0)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"pidfd_getfd of descriptor {number} of process {process.pid}: {os.strerror(code)}")
    return fd
