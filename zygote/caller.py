"""The process that makes a call: does it live in our world, and what of its own must we take on to act for it?"""

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from enclave_host.cgroup_migration import own_groups

_CREDENTIALS = struct.Struct("3i")
_NAMESPACES = ("mnt", "net", "pid", "ipc", "uts", "user", "cgroup")
# Lines of /proc/PID/status. What we have less of than the caller, what we do for it would lack.
_RIGHTS = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")


def process_of_same_user(connection: socket.socket) -> int | None:
    """The peer's process id, or None when it is another user's."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return pid if (uid, gid) == (os.getuid(), os.getgid()) else None


def is_in_our_world(pid: int) -> bool:
    """Has it our namespaces, our root directory and our rights? Only then can we act in its place."""
    try:
        return _world(f"/proc/{pid}") == own_world()
    except OSError:
        return False


@cache
def own_world() -> tuple[object, ...]:
    """Ask once before the fork: it does not change."""
    return _world("/proc/self")


def _world(process: str) -> tuple[object, ...]:
    namespaces = [os.readlink(f"{process}/ns/{name}") for name in _NAMESPACES]
    root = os.stat(f"{process}/root")
    with open(f"{process}/status", "rb", buffering=0) as file:
        lines = file.read(8192).decode(errors="replace").splitlines()
    rights = [line for line in lines if line.partition(":")[0] in _RIGHTS]
    return (*namespaces, root.st_dev, root.st_ino, *rights)


def adopt_environment(environment: Mapping[bytes, bytes]) -> None:
    """Take on these variables and no others."""
    os.environb.clear()
    os.environb.update(environment)


def adopt_limits(pid: int) -> None:
    """Take on the caller's resource limits: containers inherit them."""
    for limit in range(resource.RLIM_NLIMITS if hasattr(resource, "RLIM_NLIMITS") else 16):
        wanted = resource.prlimit(pid, limit)
        if resource.getrlimit(limit) != wanted:
            resource.setrlimit(limit, wanted)


def adopt_groups(pid: int) -> str:
    """Move to the caller's control groups: a stop of the daemon's service must not end what we become.

    Returns what /proc/PID/cgroup says of them (cgroups(7)).
    """
    theirs = Path(f"/proc/{pid}/cgroup").read_text()
    join_groups(theirs)
    return theirs


def join_groups(membership: str) -> None:
    """Move to the control groups that `membership` names, which has the form of /proc/PID/cgroup."""
    if membership == Path("/proc/self/cgroup").read_text():
        return
    for group in own_groups(membership):
        # Not created: where a hierarchy is not mounted there is a file system that would take a file of that name.
        with contextlib.suppress(FileNotFoundError):
            processes = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(processes, b"0")
            finally:
                os.close(processes)
