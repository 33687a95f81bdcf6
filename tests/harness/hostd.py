"""A private teemate-hostd and the `teemate` command that talks to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.harness.paths import HOSTD, LIBOS, MATE, TEEMATE
from tests.harness.patience import PATIENCE
from tests.harness.process import Daemon, clean_environment
from tests.harness.world import World

# The pools a test finds unless it names its own: one that is roomy, one that is full at two, and the
# conventional way (an enclave for each container) in its fastest variant.
DEFAULT_POOLS: dict[str, dict[str, Any]] = {
    "default": {"compartments": 24, "threads": 16, "memory": "1GiB", "ready": 1, "maximum": 3},
    "small": {"compartments": 2, "threads": 4, "memory": "64MiB", "ready": 1, "maximum": 1},
    "conventional": {"dedicated": True, "threads": 16, "memory": "256MiB"},
}


@dataclass(frozen=True)
class Descriptors:
    """What the daemon's own process holds."""

    count: int
    memfd_bytes: int


class HostDaemon:
    def __init__(
        self,
        *,
        directory: Path,
        mark: Mapping[str, str],
        pools: Mapping[str, dict[str, Any]],
        world: World | None = None,
    ) -> None:
        self._world = world or World()
        self.directory = directory
        self.run_directory = directory / "run"
        self.config = directory / "hostd.yaml"
        self._mark = dict(mark)
        self._pools = {name: dict(settings) for name, settings in pools.items()}
        self.daemon: Daemon | None = None

    def start(self) -> None:
        """Start it, or start it again after a crash: same configuration, same state."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            yaml.safe_dump(
                {
                    "run_directory": str(self.run_directory),
                    "state_directory": str(self.directory / "state"),
                    "image": str(LIBOS),
                    "mate": str(MATE),
                    "log_level": "info",
                    "pools": self._pools,
                }
            )
        )
        self.daemon = Daemon(
            name="teemate-hostd",
            argv=self._world.argv([HOSTD, "--config", self.config]),
            log=self.directory / "hostd.log",
            environment=clean_environment(self._mark),
        )
        self.daemon.wait_ready(self._ready)

    def _ready(self) -> bool:
        return self.teemate("pool", "ls", "-o", "json").returncode == 0

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment to find this daemon and no other."""
        return {"TEEMATE_HOST": str(self.run_directory)}

    def teemate(self, *words: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TEEMATE, "--host", str(self.run_directory), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=timeout,
        )

    def listing(self, *words: str) -> list[dict[str, Any]]:
        """`teemate WORDS -o json`."""
        done = self.teemate(*words, "-o", "json")
        if done.returncode:
            raise AssertionError(f"teemate {' '.join(words)}: status {done.returncode}: {done.stderr}")
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def leases(self) -> list[dict[str, Any]]:
        return self.listing("lease", "ls")

    def descriptors(self) -> Descriptors:
        assert self.daemon
        count = memfd_bytes = 0
        seen = set()
        for entry in Path(f"/proc/{self.daemon.pid}/fd").iterdir():
            try:
                target, status = str(entry.readlink()), entry.stat()
            except FileNotFoundError:
                continue
            count += 1
            if target.startswith("/memfd:") and status.st_ino not in seen:
                seen.add(status.st_ino)
                memfd_bytes += status.st_blocks * 512
        return Descriptors(count=count, memfd_bytes=memfd_bytes)

    def memfds(self) -> list[Path]:
        """The daemon's memfds, openable through /proc: each file once."""
        assert self.daemon
        found = {}
        for entry in Path(f"/proc/{self.daemon.pid}/fd").iterdir():
            try:
                if str(entry.readlink()).startswith("/memfd:"):
                    found[entry.stat().st_ino] = entry
            except FileNotFoundError:
                continue
        return list(found.values())

    def stop(self) -> None:
        if self.daemon:
            self.daemon.stop()
