"""In the guest: a container of uid 1000, made by the real teemate-runtime and runc."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

CONTAINERS = Path("/containers")
_MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
)


def _config(name: str, arguments: tuple[str, ...], memory: int) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": list(arguments),
            "cwd": "/",
            "env": ["PATH=/usr/bin:/bin"],
            "user": {"uid": 1000, "gid": 1000},
            "noNewPrivileges": True,
        },
        "root": {"path": str(CONTAINERS / "rootfs"), "readonly": True},
        "mounts": list(_MOUNTS),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
            "cgroupsPath": f"/{name}",
            "resources": {"memory": {"limit": memory}} if memory else {},
        },
    }


class Container:
    """Its root is the guest's own, read-only. Standard input stays open until it is deleted."""

    def __init__(
        self, name: str, *arguments: str, runtime: list[str], environment: dict[str, str], memory: int = 0
    ) -> None:
        self.name = name
        self.process = 0
        self._runtime = runtime
        self._environment = environment
        self._bundle = CONTAINERS / name
        self._bundle.mkdir()
        (self._bundle / "config.json").write_text(json.dumps(_config(name, arguments, memory)))
        self._output = self._bundle / "output"
        self._input = -1

    def start(self) -> bool:
        """Create and start. What went wrong is printed."""
        pid_file = self._bundle / "pid"
        reader, self._input = os.pipe()
        try:
            good = self._call(
                "create", "--bundle", str(self._bundle), "--pid-file", str(pid_file), self.name, stdin=reader
            )
        finally:
            os.close(reader)
        if good:
            self.process = int(pid_file.read_text())
            good = self._call("start", self.name)
        if not good:
            print(self.said()[-2000:])
        return good

    def tell(self, text: str) -> None:
        os.write(self._input, text.encode())

    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def wrote(self, name: str) -> str:
        """A file in its /tmp."""
        path = Path(f"/proc/{self.process}/root/tmp/{name}")
        return path.read_text() if path.exists() else ""

    def has_ended(self) -> bool:
        """No process, or one that nobody has waited for."""
        try:
            status = Path(f"/proc/{self.process}/stat").read_text()
        except OSError:
            return True
        return status.rpartition(")")[2].split()[0] in {"Z", "X"}

    def memory(self) -> int:
        """What its control group counts."""
        return int((Path("/sys/fs/cgroup") / self.name / "memory.current").read_text())

    def delete(self) -> None:
        if not self._call("delete", "--force", self.name):
            print(self.said()[-2000:])
        os.close(self._input)

    def _call(self, *words: str, stdin: int = subprocess.DEVNULL) -> bool:
        with self._output.open("ab") as output:
            done = subprocess.run(
                [*self._runtime, *words], env=self._environment, stdin=stdin, stdout=output, stderr=output
            )
        return done.returncode == 0
