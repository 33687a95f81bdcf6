"""Having the kernel ready to move a process to another control group, by the time that the OCI runtime does.

Every `create` moves the container's init to its control groups. For that the kernel takes cgroup_threadgroup_rwsem for
writing, and if nobody has done so lately it waits for an RCU grace period first (kernel/rcu/sync.c), in which nothing
happens: 8 ms on an idle machine, a third of what runc needs for all of `create`. Then it need not wait again for 10 to
20 ms. So who knows first that a container is to be created lets that time begin, while others prepare the container.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")

_log = logging.getLogger(__name__)


def own_groups(membership: str, root: Path = CGROUP_ROOT) -> Iterator[Path]:
    """Where the groups that `membership` names would be; it has the form of /proc/self/cgroup (cgroups(7))."""
    for line in membership.splitlines():
        _number, controllers, path = line.split(":", 2)
        # The v2 hierarchy is the root itself, or `unified` where v1 has controllers, too.
        for name in [controllers.removeprefix("name=")] if controllers else ["", "unified"]:
            yield root / name / path.lstrip("/")


def pass_grace_period() -> None:
    """Wait out the grace period, if the next move of a process would have to. Moves nobody. Raises OSError.

    By moving this process to where it is: the kernel sees only under its lock that there is nothing to do. One
    hierarchy is enough, since the lock is the same for all.
    """
    for group in own_groups(Path("/proc/self/cgroup").read_text()):
        try:
            processes = os.open(group / "cgroup.procs", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a hierarchy that is not mounted
        try:
            # In a cgroup namespace a name may mean another group to us than to whoever has mounted the hierarchy.
            if str(os.getpid()).encode() in _content(processes).split():
                os.write(processes, b"0")
                return
        finally:
            os.close(processes)


def _content(file: int) -> bytes:
    content = b""
    while chunk := os.read(file, 1 << 16):
        content += chunk
    return content


class MigrationAhead:
    """Passes the grace period beside the daemon's loop, in which it is used."""

    def __init__(self) -> None:
        self._passing: asyncio.Future[None] | None = None

    def expect(self) -> None:
        """A container is about to be created. Returns at once."""
        if self._passing is None or self._passing.done():
            self._passing = asyncio.get_running_loop().run_in_executor(None, pass_grace_period)
            self._passing.add_done_callback(_report)


def _report(passing: "asyncio.Future[None]") -> None:
    if not passing.cancelled() and (error := passing.exception()) is not None:
        _log.debug("containers start later than they could: no control group can be written to: %s", error)
