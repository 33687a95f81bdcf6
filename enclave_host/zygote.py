"""The zygotes (zygote/): child processes from which container shims and runtime calls are forked ready-made.

They are only there for speed. Whatever they have forked lives on without them, and without them the same calls are made
by interpreters started cold. They end with this process, since they watch the other end of their standard input.
"""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

# Doubled for each start in a row that did not last, up to the second.
RESTART_SECONDS = 0.5
RESTART_SECONDS_MAX = 60.0
LASTED_SECONDS = 10.0
END_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Zygote:
    """Keeps one of them alive, for the program `shim` or `runtime`. Used from the daemon's loop."""

    def __init__(self, program: str, run_directory: Path) -> None:
        self._program = program
        self._path = run_directory / f"zygote-{program}.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._restart: asyncio.TimerHandle | None = None
        self._delay = RESTART_SECONDS
        self._started = 0.0

    def start(self) -> None:
        self._restart = None
        command = [sys.executable, "-I", "-m", "zygote", self._program, str(self._path)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr)
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError as error:
            _log.error("the zygote for %s cannot be started, so containers start slower: %s", self._program, error)
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._ended)
        self._started = loop.time()

    def close(self) -> None:
        """End it. What it has forked lives on."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._process is not None:
            process = self._forget()
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._path.unlink(missing_ok=True)

    def _ended(self) -> None:
        status = self._forget().wait()
        loop = asyncio.get_running_loop()
        if loop.time() - self._started >= LASTED_SECONDS:
            self._delay = RESTART_SECONDS
        _log.warning(
            "the zygote for %s has ended with status %d and is started again in %.1f s",
            self._program,
            status,
            self._delay,
        )
        self._restart = loop.call_later(self._delay, self.start)
        self._delay = min(2 * self._delay, RESTART_SECONDS_MAX)

    def _forget(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        process, self._process = self._process, None
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        assert process.stdin is not None
        process.stdin.close()
        return process
