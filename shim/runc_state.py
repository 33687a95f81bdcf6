"""What runc keeps of a container, and two of runc's steps done here: to start it, and to forget it when it has ended.

Both are small next to the start of a Go program, and each is left to runc wherever runc would do more than that: run a
hook, ask systemd, kill what lives on in a shared pid namespace. runc's own code is libcontainer's `exec` and `destroy`.
"""

import asyncio
import contextlib
import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.delegate import DelegateError
from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure

_STATE = "state.json"
_FIFO = "exec.fifo"
_CGROUP_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class RuncState:
    """A container's directory below runc's root, and what of state.json counts here."""

    directory: Path
    hooks: frozenset[str]
    """The kinds of hook that the container has."""
    cgroups: tuple[Path, ...]
    has_resctrl: bool

    @classmethod
    def read(cls, directory: Path) -> "RuncState | None":
        """None if another runtime than runc keeps the container, or a runc that writes what we do not know."""
        try:
            document = strict_json.parse(strict_json.read(f"{directory}/{_STATE}", what=_STATE), what=_STATE)
        except Failure:
            return None
        config = document.get("config")
        hooks = config.get("Hooks") if isinstance(config, dict) else None
        paths = document.get("cgroup_paths")
        if not isinstance(hooks, dict) or not isinstance(paths, dict) or not paths:
            return None
        cgroups = tuple(Path(str(path)) for path in paths.values())
        if not all(path.is_relative_to(_CGROUP_ROOT) and ".." not in path.parts for path in cgroups):
            return None
        return cls(
            directory,
            hooks=frozenset(name for name, given in hooks.items() if given),
            cgroups=cgroups,
            has_resctrl=bool(document.get("intel_rdt_path")),
        )

    @property
    def start_is_plain(self) -> bool:
        """Would `runc start` do no more than start()?"""
        return "poststart" not in self.hooks

    @property
    def delete_is_plain(self) -> bool:
        """Would `runc delete` do no more than forget(), if systemd and other processes play no part?"""
        return "poststop" not in self.hooks and not self.has_resctrl

    async def start(self, ended: "asyncio.Future[Any]") -> None:
        """Let the created init run. It waits for a reader of its FIFO, and writes a byte to it before the program.

        `ended` is done when init has ended: one that was killed before it got there will never write.
        """
        try:
            fifo = os.open(self.directory / _FIFO, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DelegateError("cannot start an already running container") from None
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        waiting = asyncio.create_task(readable.wait())
        try:
            loop.add_reader(fifo, readable.set)
            await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
            # It may have written and ended: what it wrote stays in the FIFO for as long as we have it open.
            if not _read_byte(fifo):
                raise DelegateError("container process is already dead")
        finally:
            waiting.cancel()
            loop.remove_reader(fifo)
            os.close(fifo)
        (self.directory / _FIFO).unlink(missing_ok=True)

    def forget(self) -> bool:
        """Remove the control groups and the directory of a container whose processes have all ended.

        False if a control group cannot be removed: runc, which waits, may. So it is if somebody else has removed it.
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


def _read_byte(fifo: int) -> bytes:
    try:
        return os.read(fifo, 1)
    except BlockingIOError:
        return b""


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
