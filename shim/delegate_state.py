"""What the delegate keeps of a container, and two of its steps done here: to start it, and to forget an ended one.

Both are small next to the execution of a program, and each is left to the delegate wherever that would do more: run a
hook, ask systemd, kill what lives on in a shared pid namespace. Which they are is each delegate's own (runc_state.py,
crun_state.py); what they have in common is here.
"""

import asyncio
import contextlib
import errno
import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CGROUP_ROOT = Path("/sys/fs/cgroup")
EXEC_FIFO = "exec.fifo"
# Said by runc, whichever delegate it is: callers match runc's phrases.
ALREADY_RUNNING = "cannot start an already running container"
ALREADY_DEAD = "container process is already dead"


@dataclass(frozen=True)
class DelegateState(ABC):
    """A container's directory below the delegate's root, and what of the record in it counts here."""

    directory: Path
    hooks: frozenset[str]
    """The kinds of hook that the container has."""
    cgroups: tuple[Path, ...]
    has_resctrl: bool

    @property
    def start_is_plain(self) -> bool:
        """Would the delegate's `start` do no more than start()?"""
        return "poststart" not in self.hooks

    @property
    def delete_is_plain(self) -> bool:
        """Would the delegate's `delete` do no more than forget(), if systemd and other processes play no part?"""
        return "poststop" not in self.hooks and not self.has_resctrl

    @abstractmethod
    async def start(self, ended: "asyncio.Future[Any]") -> None:
        """Let the created init run. Raises DelegateError.

        `ended` is done when init has ended, which may be before it has been started.
        """

    def forget(self) -> bool:
        """Remove the control groups and the directory of a container whose processes have all ended.

        False if a control group cannot be removed: the delegate, which waits, may. So it is if somebody else has
        removed the container.
        """
        if not self.directory.exists():
            return False
        try:
            for cgroup in self.cgroups:
                _remove_cgroup(cgroup)
        except OSError:
            return False
        shutil.rmtree(self.directory)
        return True


def are_cgroups(paths: tuple[Path, ...], *, root: Path) -> bool:
    """Does each lie below the mount point of the control groups?"""
    return all(path.is_relative_to(root) and ".." not in path.parts for path in paths)


def _remove_cgroup(path: Path) -> None:
    """With those that the container has made in it. Raises OSError, EBUSY if there is still a process."""
    try:
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        for directory, _, _ in os.walk(path, topdown=False):
            Path(directory).rmdir()
