"""A zygote of the test's own, kept as the host daemon keeps it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from tests.harness.paths import PYTHON
from tests.harness.process import HarnessError, wait_until


class Zygote:
    """Listens in `directory` from construction to close(). Use as a context manager."""

    def __init__(self, program: str, directory: Path) -> None:
        self.path = directory / f"zygote-{program}.sock"
        directory.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [PYTHON, "-I", "-m", "zygote", program, self.path], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if not wait_until(lambda: self.path.exists() or self.process.poll() is not None):
            raise HarnessError("the zygote does not listen")
        if self.process.poll() is not None:
            raise HarnessError(f"the zygote ended with status {self.process.returncode}")

    def complaints(self) -> str:
        """What it and its children have written to stderr so far."""
        assert self.process.stderr
        if not select.select([self.process.stderr], [], [], 0)[0]:
            return ""
        return os.read(self.process.stderr.fileno(), 1 << 16).decode(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self) -> int:
        """Let its standard input end; its exit status."""
        assert self.process.stdin and self.process.stderr
        self.process.stdin.close()
        status = self.process.wait(30)
        self.process.stderr.close()
        return status

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
