"""One private stage: host daemon, containerd and dockerd in a temporary directory, and nothing left after it."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.containerd import Containerd
from tests.harness.docker import Docker
from tests.harness.hostd import DEFAULT_POOLS, HostDaemon
from tests.harness.images import image
from tests.harness.mounts import mounts_under, unmount_all
from tests.harness.process import (
    MARKER,
    Daemon,
    HarnessError,
    ProcessInfo,
    clean_environment,
    end_processes,
    stack_processes,
    wait_until,
)
from tests.harness.world import World


class Stack:
    """Use as a context manager. `hostd`, `containerd` and `docker` are running inside it."""

    def __init__(
        self,
        *,
        pools: Mapping[str, dict[str, Any]] | None = None,
        with_hostd: bool = True,
        with_containers: bool = True,
        world: World | None = None,
    ) -> None:
        # short: the paths of unix sockets have at most 107 bytes
        self.directory = Path(tempfile.mkdtemp(prefix="teemate-", dir="/tmp"))
        self.mark = secrets.token_hex(8)
        mark = {MARKER: self.mark}
        self.with_hostd = with_hostd
        self.with_containers = with_containers
        self.world = world or World()
        chosen = dict(pools or DEFAULT_POOLS)
        self.hostd = HostDaemon(directory=self.directory / "h", mark=mark, pools=chosen, world=self.world)
        # the machine's own /etc/teemate/runtime.yaml must not play a part
        self.runtime_config = self.directory / "runtime.yaml"
        self.runtime_config.write_text("pool: default\n")
        self.runtime_environment = self.hostd.environment | {"TEEMATE_RUNTIME_CONFIG": str(self.runtime_config)}
        environment = clean_environment(mark | self.runtime_environment)
        self._environment = environment
        self.containerd = Containerd(directory=self.directory / "c", environment=environment, world=self.world)
        self.docker = Docker(
            directory=self.directory / "d",
            containerd=self.containerd.socket,
            environment=environment,
            pools=list(chosen),
            world=self.world,
        )
        self._docker_images: set[str] = set()
        self._ctr_images: set[str] = set()

    def __enter__(self) -> Stack:
        try:
            self.world.start(directory=self.directory, environment=self._environment)
            if self.with_hostd:
                self.hostd.start()
            if self.with_containers:
                self.containerd.start()
                self.docker.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        left = self.close()
        if left:
            raise HarnessError("left behind by the stack:\n" + "\n".join(left))

    def docker_image(self, name: str) -> str:
        """The image's name in our dockerd, loaded on first use."""
        made = image(name)
        if name not in self._docker_images:
            self.docker.check("load", "--quiet", f"--input={made.archive}")
            self._docker_images.add(name)
        return made.name

    def ctr_image(self, name: str) -> str:
        made = image(name)
        if name not in self._ctr_images:
            done = self.containerd.ctr("images", "import", made.archive)
            if done.returncode:
                raise HarnessError(f"ctr images import: {done.stderr}")
            self._ctr_images.add(name)
        return made.name

    def processes(self) -> dict[int, ProcessInfo]:
        return stack_processes(self.mark)

    def mounts(self) -> list[Path]:
        """Mount points below our directory, in the namespace that the daemons are in."""
        return mounts_under(self.directory, seen_by=self.world.pid)

    def daemons(self) -> list[Daemon]:
        candidates = (self.hostd.daemon, self.containerd.daemon, self.docker.daemon)
        return [daemon for daemon in candidates if daemon is not None]

    def logs(self) -> str:
        return "\n".join(daemon.tail() for daemon in self.daemons())

    def _orphans(self) -> dict[int, ProcessInfo]:
        return {pid: info for pid, info in self.processes().items() if pid != self.world.pid}

    def close(self) -> list[str]:
        """End everything. Returns what had to be ended or unmounted by force: an empty list is the rule."""
        problems = []
        for part in (self.docker, self.containerd, self.hostd):
            try:
                part.stop()
            except Exception as error:
                problems.append(f"stopping: {error}")
        wait_until(lambda: not self._orphans())
        orphans = self._orphans()
        problems += [f"process {info}" for info in orphans.values()]
        end_processes(list(orphans))
        problems += [f"mount {point}" for point in unmount_all(self.directory, self.world)]
        self.world.stop()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)
        return problems
