"""A private containerd: own root, state and socket, no CRI."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cgroups
from tests.harness.paths import BIN, CONTAINERD, CTR, RUNTIME, SYSTEM_PATH
from tests.harness.patience import PATIENCE
from tests.harness.process import Daemon, clean_environment, first_in_line
from tests.harness.world import World

STOCK_SHIM = "io.containerd.runc.v2"
OWN_SHIM = "io.containerd.teemate.v2"

CONFIG = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{socket}"
[debug]
  level = "info"
"""


@dataclass(frozen=True)
class Programs:
    """One version of containerd: the daemon, its client, and the directories where it finds its shim and runc."""

    containerd: Path = CONTAINERD
    ctr: Path = CTR
    path: str = SYSTEM_PATH


class Containerd:
    def __init__(
        self,
        *,
        directory: Path,
        environment: Mapping[str, str],
        programs: Programs | None = None,
        world: World | None = None,
    ) -> None:
        self._world = world or World()
        self.directory = directory
        self.socket = directory / "c.sock"
        self.runc_root = directory / "runc"
        self.programs = programs or Programs()
        self._cgroup = cgroups.new_name()
        # our shim is found in PATH
        self._environment = {**environment, "PATH": f"{BIN}:{self.programs.path}"}
        self.daemon: Daemon | None = None

    def configuration(self) -> str:
        """The text of config.toml."""
        return CONFIG.format(directory=self.directory, socket=self.socket)

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "config.toml"
        config.write_text(self.configuration())
        self.daemon = Daemon(
            name="containerd",
            argv=self._world.argv([self.programs.containerd, "--config", config]),
            log=self.directory / "containerd.log",
            environment=self._environment,
        )
        self.daemon.wait_ready(lambda: self.ctr("version").returncode == 0)

    def ctr(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """First in line: of a program that ends before ctr has come to open its output, ctr shows nothing."""
        argv = self._argv(*words)
        with first_in_line():
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=clean_environment(),
            )
        with process:
            try:
                output, errors = process.communicate(timeout=PATIENCE)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(argv, process.returncode, output, errors)

    def run(
        self,
        image: str,
        name: str,
        *command: str,
        runtime: Path = RUNTIME,
        options: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """`ctr run --rm` with our OCI runtime behind the stock runc.v2 shim."""
        options = (f"--runc-binary={runtime}", *options)
        return self.ctr(*self._run_words(image, name, command, shim=STOCK_SHIM, options=options))

    def run_with_shim(
        self, image: str, name: str, *command: str, shim: str = OWN_SHIM, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """`ctr run --rm` (without --rm if detached) with a shim that brings its own OCI runtime."""
        return self.ctr(*self._run_words(image, name, command, shim=shim, options=options))

    def run_argv(self, image: str, name: str, *command: str, shim: str, options: Sequence[str] = ()) -> list[str]:
        """The same as a command line, for who wants to feed it or to watch it."""
        return self._argv(*self._run_words(image, name, command, shim=shim, options=options))

    def _argv(self, *words: str | Path) -> list[str]:
        return [str(self.programs.ctr), "--address", str(self.socket), *[str(word) for word in words]]

    def _run_words(
        self, image: str, name: str, command: Sequence[str], *, shim: str, options: Sequence[str]
    ) -> list[str]:
        """Control groups and runc's own state are found by the container's name: ours are not everybody's."""
        return [
            "run",
            *(() if "--detach" in options else ("--rm",)),
            f"--runtime={shim}",
            f"--cgroup=/{self._cgroup}/{name}",
            *((f"--runc-root={self.runc_root}",) if shim == STOCK_SHIM else ()),
            *options,
            image,
            name,
            *command,
        ]

    def cgroups(self) -> list[Path]:
        """The control groups of its containers, in every hierarchy."""
        return cgroups.inside(self._cgroup)

    def stop(self) -> None:
        if self.daemon:
            self.daemon.stop()
            cgroups.remove(self._cgroup)
