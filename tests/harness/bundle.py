"""An OCI bundle run by an OCI runtime directly, as a shim would: the programs image, unpacked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.harness.images import image, unpack
from tests.harness.paths import RUNC, RUNTIME
from tests.harness.patience import PATIENCE
from tests.harness.process import clean_environment
from tests.harness.stack import Stack


class Bundle:
    """`config` may be changed before each run; the runtime must leave config.json as it found it."""

    def __init__(self, stack: Stack) -> None:
        self.runc_root = stack.directory / "runc"
        self.directory = stack.directory / "bundle"
        self.environment = clean_environment(stack.runtime_environment)
        rootfs = stack.directory / "rootfs"
        if not rootfs.exists():
            unpack(image("programs"), rootfs)
        self.directory.mkdir(exist_ok=True)
        self._file = self.directory / "config.json"
        self._file.unlink(missing_ok=True)
        subprocess.run([RUNC, "spec"], cwd=self.directory, check=True, env=clean_environment())
        self.config = json.loads(self._file.read_text())
        self.config["process"]["terminal"] = False
        self.config["root"] = {"path": str(rootfs)}

    def write(self, text: bytes | None = None) -> bytes:
        content = json.dumps(self.config).encode() if text is None else text
        self._file.write_bytes(content)
        return content

    def command(self, name: str, *, runtime: Path = RUNTIME) -> list[str]:
        return [str(runtime), f"--root={self.runc_root}", "run", f"--bundle={self.directory}", name]

    def run(self, name: str, *, text: bytes | None = None) -> subprocess.CompletedProcess[str]:
        content = self.write(text)
        done = subprocess.run(
            self.command(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=self.environment,
            timeout=PATIENCE,
        )
        assert self._file.read_bytes() == content, "config.json was not put back"
        return done

    def containers(self) -> list[str]:
        """What the runtime still knows."""
        listed = subprocess.run(
            [RUNTIME, f"--root={self.runc_root}", "list", "--quiet"],
            capture_output=True,
            text=True,
            env=self.environment,
        )
        assert listed.returncode == 0, listed.stderr
        return listed.stdout.split()
