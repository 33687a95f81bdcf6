"""The OCI runtime below the shim: runc or crun, one process for each call."""

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from shim.reaper import Reaper
from shim.stdio import Stdio
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.executor import Redirections

# What runc and crun say of a process that has gone (containerd's process/utils.go: checkKillError).
_GONE = (
    "os: process already finished",
    "container not running",
    "no such process",
    "does not exist",
    "is not running",
)
OUTPUT_MAX = 1 << 20


class DelegateError(Exception):
    """The OCI runtime refused; the text is its last error."""

    @property
    def process_is_gone(self) -> bool:
        text = str(self).lower()
        return any(phrase in text for phrase in _GONE)


@dataclass(frozen=True)
class Delegate:
    """Calls of the delegate for the container of one bundle."""

    context: Context
    bundle: Path
    reaper: Reaper

    async def run(
        self,
        words: list[str],
        *,
        stdio: Stdio | None = None,
        redirections: Redirections | None = None,
        stdin: bytes = b"",
    ) -> bytes:
        """Run it; its stdout, unless `stdio` gives it the container's streams. Raises DelegateError."""
        with contextlib.ExitStack() as stack:
            output = _memfd(stack, b"")
            source, target, errors = stdio.inherit if stdio else (_memfd(stack, stdin), output, output)
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((source, target, errors))]
            actions += [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in redirections or []]
            path = self.context.delegate
            log_size = self._log_size()
            before = self.reaper.count
            pid = os.posix_spawn(
                path,
                [path, *self.context.global_words(), *words],
                _environment(),
                file_actions=actions,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                setsigmask=[],
            )
            # A caller that gives up must not leave the descriptors in use by two.
            ended = await asyncio.shield(self.reaper.exit_of(pid, since=before))
            text = os.pread(output, OUTPUT_MAX, 0)
        if ended.status:
            raise DelegateError(self._last_error(log_size) or text.decode(errors="replace").strip() or words[0])
        return text

    def _log_size(self) -> int:
        with contextlib.suppress(OSError):
            return (self.bundle / "log.json").stat().st_size
        return 0

    def _last_error(self, start: int) -> str:
        """The last error that this call has added to the log."""
        with contextlib.suppress(OSError, ValueError), (self.bundle / "log.json").open() as log:
            log.seek(start)
            entries = [json.loads(line) for line in log if line.strip()]
            for entry in reversed(entries):
                if entry.get("level") == "error":
                    return str(entry.get("msg", ""))
        return ""


def _environment() -> dict[str, str]:
    """Without what systemd has given to containerd: the container's readiness would be waited for, and told to systemd.

    So does containerd's own library, go-runc.
    """
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}


def _memfd(stack: contextlib.ExitStack, content: bytes) -> int:
    fd = os.memfd_create("delegate", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    if content:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
    return fd
