"""A private dockerd on a private containerd, and `docker` as a user would type it."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.paths import CRUN, DOCKER, DOCKERD, RUNTIME
from tests.harness.patience import PATIENCE
from tests.harness.process import Daemon, clean_environment
from tests.harness.world import World

UNKNOWN_POOL = "no-such-pool"


class Docker:
    def __init__(
        self,
        *,
        directory: Path,
        containerd: Path,
        environment: Mapping[str, str],
        pools: Sequence[str],
        client: Path = DOCKER,
        server: Path = DOCKERD,
        world: World | None = None,
    ) -> None:
        self._world = world or World()
        self.directory = directory
        self._client = client
        self._server = server
        self.socket = directory / "d.sock"
        self._containerd = containerd
        self._environment = dict(environment)
        # docker 20.10 has no annotations: a pool is chosen by the runtime's own option
        self._runtimes: dict[str, dict[str, Any]] = {"teemate": {"path": str(RUNTIME)}, "crun": {"path": str(CRUN)}}
        for pool in (*pools, UNKNOWN_POOL):
            self._runtimes[f"teemate-{pool}"] = {"path": str(RUNTIME), "runtimeArgs": [f"--pool={pool}"]}
        self.daemon: Daemon | None = None

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "daemon.json"
        config.write_text(json.dumps({"runtimes": self._runtimes}))
        self.daemon = Daemon(
            name="dockerd",
            argv=self._world.argv(
                [
                    self._server,
                    f"--config-file={config}",
                    f"--data-root={self.directory}/data",
                    f"--exec-root={self.directory}/exec",
                    f"--pidfile={self.directory}/dockerd.pid",
                    f"--host=unix://{self.socket}",
                    f"--containerd={self._containerd}",
                    "--iptables=false",
                    "--ip6tables=false",
                    "--bridge=none",
                ]
            ),
            log=self.directory / "dockerd.log",
            environment=self._environment,
        )
        self.daemon.wait_ready(lambda: self("version").returncode == 0)

    def argv(self, *words: str | Path) -> list[str]:
        return [str(self._client), f"--host=unix://{self.socket}", *[str(word) for word in words]]

    def __call__(
        self, *words: str | Path, stdin: bytes | None = None, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[bytes]:
        """`docker WORDS`; output in bytes, since programs may print anything."""
        return subprocess.run(
            self.argv(*words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=clean_environment(),
            timeout=timeout,
        )

    def popen(self, *words: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), env=clean_environment(), **options)

    def run(
        self,
        image: str,
        *command: str,
        runtime: str = "teemate",
        options: Sequence[str] = (),
        stdin: bytes | None = None,
        timeout: float = PATIENCE,
    ) -> subprocess.CompletedProcess[bytes]:
        """`docker run --rm` in the foreground. One that hangs is removed."""
        interactive = ["-i"] if stdin is not None else []
        name = f"run-{secrets.token_hex(6)}"
        words = ("run", "--rm", f"--name={name}", f"--runtime={runtime}", *interactive, *options, image, *command)
        try:
            return self(*words, stdin=stdin, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            self("rm", "--force", name)
            said = (expired.stdout or b"") + (expired.stderr or b"")
            raise AssertionError(f"{' '.join(command)} hangs with {runtime}; it said {said!r}") from None

    def check(self, *words: str | Path, stdin: bytes | None = None, timeout: float = PATIENCE) -> str:
        """`docker WORDS` that must succeed; returns what it printed, stripped."""
        done = self(*words, stdin=stdin, timeout=timeout)
        if done.returncode:
            line = " ".join(map(str, words))
            raise AssertionError(f"docker {line}: status {done.returncode}\n{done.stderr.decode()}")
        return done.stdout.decode(errors="replace").strip()

    def inspect(self, name: str, template: str) -> str:
        return self.check("inspect", f"--format={template}", name)

    def containers(self) -> list[str]:
        return self.check("ps", "--all", "--quiet", "--no-trunc").split()

    def stop(self) -> None:
        if self.daemon:
            if self.daemon.alive():
                names = self("ps", "--all", "--quiet").stdout.decode().split()
                if names:
                    self("rm", "--force", *names)
            self.daemon.stop()
