"""The kernel: its calls are asked for, not its version."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from pathlib import Path

from teemate_runtime.teemate.checks.finding import Finding, lack, note, ok

_PR_SET_SYSCALL_USER_DISPATCH = 59
_SYS_PIDFD_GETFD = 438
_MODULE_DEVICE = Path("/dev/teemate")
_CGROUP = Path("/sys/fs/cgroup")
_libc = ctypes.CDLL(None, use_errno=True)


def run() -> list[Finding]:
    return [_architecture(), _user_dispatch(), _pidfd_getfd(), _memfd(), _module(), _cgroups()]


def _architecture() -> Finding:
    name = os.uname()
    subject = "Linux"
    if name.machine != "x86_64":
        return lack(subject, f"{name.release} on {name.machine}", cure="an x86-64 host: SGX is Intel's")
    return ok(subject, f"{name.release} on x86-64")


def _user_dispatch() -> Finding:
    subject = "Linux: Syscall User Dispatch"
    if _libc.prctl(_PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) == 0:
        return ok(subject, "offered")
    return lack(subject, "absent: system calls in the model cannot be caught", cure="Linux 5.11 or newer")


def _pidfd_getfd() -> Finding:
    subject = "Linux: pidfd_getfd"
    _libc.syscall(_SYS_PIDFD_GETFD, -1, 0, 0)
    if ctypes.get_errno() == errno.EBADF:
        return ok(subject, "offered")
    return lack(subject, "absent: a restarted daemon loses its leases", cure="Linux 5.6 or newer")


def _memfd() -> Finding:
    """Enclave pages are executable memfds; vm.memfd_noexec may forbid them."""
    subject = "Linux: executable memfd"
    try:
        memfd = os.memfd_create("teemate-doctor")
    except OSError as error:
        return lack(subject, f"memfd_create fails: {error.strerror}", cure="a kernel with CONFIG_MEMFD_CREATE")
    try:
        os.ftruncate(memfd, mmap.PAGESIZE)
        mmap.mmap(memfd, mmap.PAGESIZE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError as error:
        return lack(subject, f"refused: {error.strerror}", cure="sysctl vm.memfd_noexec=0")
    finally:
        os.close(memfd)
    return ok(subject, "offered")


def _module(device: Path = _MODULE_DEVICE) -> Finding:
    subject = "Linux: teemate.ko"
    if device.exists():
        return ok(subject, f"loaded ({device}): the kernel enforces leases")
    return note(
        subject,
        "not loaded: who holds a compartment's memfd can map it",
        cure="dkms install ./kernel_module && modprobe teemate, then restart teemate-hostd; see docs/kernel-module.md",
    )


def _cgroups() -> Finding:
    subject = "Linux: control groups"
    if (_CGROUP / "cgroup.controllers").exists():
        return ok(subject, "version 2")
    if (_CGROUP / "unified").exists():
        return note(
            subject, "hybrid of versions 1 and 2: crun may refuse it", cure="runc as delegate, or boot with version 2"
        )
    if (_CGROUP / "memory").exists():
        return ok(subject, "version 1")
    return lack(subject, f"not mounted at {_CGROUP}", cure="mount -t cgroup2 none /sys/fs/cgroup")
