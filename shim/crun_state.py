"""crun's record of a container, and how crun starts one. Its own code for that: libcrun's container.c and status.c."""

import asyncio
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.delegate import DelegateError
from shim.delegate_state import ALREADY_DEAD, ALREADY_RUNNING, CGROUP_ROOT, EXEC_FIFO, DelegateState, are_cgroups
from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure

_STATUS = "status"
_CONFIG = "config.json"
# Of a further key we would not know what a delete has to do for it.
_STATUS_KEYS = {
    "pid",
    "process-start-time",
    "cgroup-path",
    "scope",
    "rootfs",
    "systemd-cgroup",
    "bundle",
    "created",
    "owner",
    "detached",
    "external_descriptors",
}


@dataclass(frozen=True)
class CrunState(DelegateState):
    @classmethod
    def read(
        cls, directory: Path, *, cgroup_root: Path = CGROUP_ROOT, proc: Path = Path("/proc")
    ) -> "CrunState | None":
        """None if another runtime than crun keeps the container, or a crun that writes what we do not know."""
        try:
            status = strict_json.parse(strict_json.read(f"{directory}/{_STATUS}", what=_STATUS), what=_STATUS)
            config = strict_json.parse(strict_json.read(f"{directory}/{_CONFIG}", what=_CONFIG), what=_CONFIG)
            cgroups = _cgroups(status.get("cgroup-path"), root=cgroup_root, proc=proc)
        except (Failure, OSError):
            return None
        hooks, linux = config.get("hooks") or {}, config.get("linux")
        if not isinstance(hooks, dict) or not isinstance(linux, dict):
            return None
        if not status.keys() <= _STATUS_KEYS or status.get("systemd-cgroup") is not False or status.get("scope"):
            return None
        if not cgroups or not are_cgroups(cgroups, root=cgroup_root):
            return None
        return cls(
            directory,
            hooks=frozenset(name for name, given in hooks.items() if given),
            cgroups=cgroups,
            has_resctrl="intelRdt" in linux,
        )

    async def start(self, ended: "asyncio.Future[Any]") -> None:
        """Init has its FIFO open for reading, and waits for a byte before the program."""
        if ended.done():
            raise DelegateError(ALREADY_DEAD)
        path = self.directory / EXEC_FIFO
        try:
            fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DelegateError(ALREADY_RUNNING) from None
        except OSError as error:
            if error.errno != errno.ENXIO:  # it has no reader any more
                raise DelegateError(f"{path}: {error.strerror}") from error
            raise DelegateError(ALREADY_DEAD) from None
        try:
            path.unlink()  # first: of two that start it, one does
            os.write(fifo, b"\0")
        except FileNotFoundError:
            raise DelegateError(ALREADY_RUNNING) from None
        except BrokenPipeError:
            raise DelegateError(ALREADY_DEAD) from None
        finally:
            os.close(fifo)


def _cgroups(path: strict_json.Value, *, root: Path, proc: Path) -> tuple[Path, ...]:
    """Where crun has made the control group: in each hierarchy of version 1, or in the one of version 2.

    Empty if it has made none, or would have taken the root.
    """
    relative = path.strip("/") if isinstance(path, str) else ""
    if not relative:
        return ()
    if (root / "cgroup.controllers").exists():
        return (root / relative,)
    lines = (proc / "self" / "cgroup").read_text().splitlines()
    names = [line.split(":", 2)[1].removeprefix("name=") or "unified" for line in lines]
    return tuple(root / name / relative for name in names)
