"""teemate-runtime between a fake daemon and a fake delegate: needs no root, no mate, no enclave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from teemate_runtime.launcher import base_interpreter, script
from tests.harness.fake_host import FakeHost
from tests.harness.paths import ROOT, RUNTIME
from tests.harness.patience import PATIENCE
from tests.harness.zygote import Zygote

ARGUMENTS = ["/bin/hello", "world"]


def minimal_config() -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {"args": list(ARGUMENTS), "cwd": "/", "env": ["A=1"], "user": {"uid": 7, "gid": 8}},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
        ],
    }


class RuntimeUnderTest:
    """A bundle, a fake host and a fake runc in one directory."""

    def __init__(self, directory: Path, *, zygote: bool = False) -> None:
        self.directory = directory
        self.host = FakeHost(directory / "run")
        self.log = directory / "log.json"
        self.bundle = directory / "bundle"
        self.bundle.mkdir()
        self.settings: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self._executable("mate", "#!/bin/sh\n")
        source = (ROOT / "tests" / "harness" / "fake_delegate.py").read_text()
        self._executable("runc", f"#!{base_interpreter()} -IS\n{source}")
        self.zygote = Zygote("runtime", self.host.directory) if zygote else None
        self.program = self._front() if zygote else self._executable("teemate-runtime", self._cold())
        self.write_config(minimal_config())

    def _cold(self) -> str:
        return script(interpreter=base_interpreter(), packages=ROOT, library=self.directory)

    def _front(self) -> Path:
        """The front with a cold fallback that says so and fails."""
        front = self.directory / "bin" / "teemate-runtime"
        front.parent.mkdir()
        shutil.copy(RUNTIME, front)
        (self.directory / "lib" / "teemate").mkdir(parents=True)
        self._executable("lib/teemate/teemate-runtime.py", "#!/bin/sh\necho started cold >&2\nexit 99\n")
        return front

    def make_cold_fallback_work(self) -> None:
        self._executable("lib/teemate/teemate-runtime.py", self._cold())

    def close(self) -> None:
        if self.zygote:
            self.zygote.close()
        if (self.host.directory / "attach.sock").exists():
            self.host.close()

    def _executable(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def write_config(self, config: dict[str, Any] | bytes) -> None:
        content = config if isinstance(config, bytes) else json.dumps(config).encode()
        (self.bundle / "config.json").write_bytes(content)

    def write_state(self, annotations: dict[str, str]) -> None:
        (self.directory / "state").write_text(json.dumps({"id": "c1", "annotations": annotations}))

    def fail(self, command: str, *, status: int) -> None:
        (self.directory / f"fail-{command}").write_text(str(status))

    def __call__(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `teemate-runtime --root ROOT --log LOG WORDS`."""
        return subprocess.run(
            self.command(*words),
            env=self.full_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **options,
        )

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            env=self.full_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *words: str | Path) -> list[str]:
        argv = [self.program, "--root", "/run/x/ns1", "--log", self.log, "--log-format", "json", *words]
        return [str(word) for word in argv]

    def full_environment(self) -> dict[str, str]:
        settings = {
            "host": str(self.host.directory),
            "delegate": str(self.directory / "runc"),
            "mate": str(self.directory / "mate"),
            **self.settings,
        }
        config = self.directory / "runtime.yaml"
        config.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        return {
            "PATH": os.environ["PATH"],
            "TEEMATE_RUNTIME_CONFIG": str(config),
            "FAKE_DELEGATE": str(self.directory),
            **self.environment,
        }

    def create(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return self("create", "--bundle", self.bundle, *words, "c1")

    def calls(self, command: str) -> list[dict[str, Any]]:
        """How the delegate was called for `command`."""
        record = self.directory / "calls"
        lines = record.read_text().splitlines() if record.exists() else []
        return [call for call in map(json.loads, lines) if call["command"] == command]

    def last_error(self) -> str | None:
        """What the runc shim would show."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        errors = [entry["msg"] for entry in map(json.loads, lines) if entry["level"] == "error"]
        return errors[-1] if errors else None
