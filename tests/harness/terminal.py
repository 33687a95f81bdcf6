"""A program on a pseudo-terminal, as somebody at a keyboard would use it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

from tests.harness.patience import PATIENCE
from tests.harness.process import clean_environment


class Terminal:
    def __init__(self, argv: Sequence[str], *, columns: int = 80, rows: int = 24) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            list(argv),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=clean_environment({"TERM": "xterm"}),
        )
        os.close(slave)
        self.seen = b""
        self._unread = b""

    def send(self, text: bytes) -> None:
        os.write(self._master, text)

    def expect(self, text: bytes, *, seconds: float = PATIENCE) -> bytes:
        """Read until the text has appeared; what comes after it stays for the next call. Returns what came before."""
        deadline = time.monotonic() + seconds
        while text not in self._unread:
            part = self._read(deadline)
            if not part:
                raise AssertionError(f"the terminal never showed {text!r}; it showed {self.seen!r}")
            self.seen += part
            self._unread += part
        before, _, self._unread = self._unread.partition(text)
        return before

    def _read(self, deadline: float) -> bytes:
        """Nothing when the other side is closed or the time is over."""
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            return os.read(self._master, 65536) if ready else b""
        except OSError:
            return b""

    def wait(self, *, seconds: float = PATIENCE) -> int:
        """The program's status, once all that it has shown is in `seen`."""
        deadline = time.monotonic() + seconds
        while part := self._read(deadline):
            self.seen += part
        return self._process.wait(timeout=seconds)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)
