"""runc's record of a container, and how runc starts one. Its own code for that: libcontainer's `exec`, `destroy`."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.delegate import DelegateError
from shim.delegate_state import ALREADY_DEAD, ALREADY_RUNNING, CGROUP_ROOT, EXEC_FIFO, DelegateState, are_cgroups
from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure

_STATE = "state.json"


@dataclass(frozen=True)
class RuncState(DelegateState):
    @classmethod
    def read(cls, directory: Path, *, cgroup_root: Path = CGROUP_ROOT) -> "RuncState | None":
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
        if not are_cgroups(cgroups, root=cgroup_root):
            return None
        return cls(
            directory,
            hooks=frozenset(name for name, given in hooks.items() if given),
            cgroups=cgroups,
            has_resctrl=bool(document.get("intel_rdt_path")),
        )

    async def start(self, ended: "asyncio.Future[Any]") -> None:
        """Init waits for a reader of its FIFO, and writes a byte to it before the program.

        One that was killed before it got there will never write.
        """
        try:
            fifo = os.open(self.directory / EXEC_FIFO, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DelegateError(ALREADY_RUNNING) from None
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        waiting = asyncio.create_task(readable.wait())
        try:
            loop.add_reader(fifo, readable.set)
            await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
            # It may have written and ended: what it wrote stays in the FIFO for as long as we have it open.
            if not _read_byte(fifo):
                raise DelegateError(ALREADY_DEAD)
        finally:
            waiting.cancel()
            loop.remove_reader(fifo)
            os.close(fifo)
        (self.directory / EXEC_FIFO).unlink(missing_ok=True)


def _read_byte(fifo: int) -> bytes:
    try:
        return os.read(fifo, 1)
    except BlockingIOError:
        return b""
