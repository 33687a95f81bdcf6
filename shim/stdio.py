"""A process's standard streams: the FIFOs (or log file) that containerd named.

The container gets the stdout FIFO itself. The shim keeps each output FIFO open for reading too, so that a reader that
goes away (a restarted containerd, a detached client) does not end the container with SIGPIPE. Two streams are copied
through a pipe: stdin, since a FIFO that no client has opened yet would read as ended; and stderr, since the OCI runtime
writes its own complaints there, which are not the container's.
"""

import array
import asyncio
import contextlib
import fcntl
import os
import stat
import termios
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from shim import fifo
from shim.log_binary import LogBinary

COPY_SIZE = 32 << 10


class StdioError(Exception):
    """A stream could not be opened."""


@dataclass
class Stdio:
    """Open descriptors for one process. `inherit` are stdin, stdout and stderr of the container's process."""

    inherit: tuple[int, int, int]
    _kept: list[int] = field(default_factory=list)
    _stdin: "StdinCopier | None" = None
    _stderr: "StderrCopier | None" = None
    _log: LogBinary | None = None

    async def ready(self) -> None:
        """Wait for who is to read the streams. Raises StdioError."""
        if self._log is not None:
            try:
                await self._log.ready()
            except TimeoutError as error:
                raise StdioError("the log program has not said that it is ready") from error

    def taken(self) -> None:
        """The process runs, and has its own copies."""
        self._close_inherited()
        if self._stderr is not None:
            self._stderr.start()

    def _close_inherited(self) -> None:
        for fd in set(self.inherit):
            if fd >= 0:
                os.close(fd)
        self.inherit = (-1, -1, -1)

    def close_stdin(self) -> None:
        """CloseIO: let the process see the end of its input."""
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None

    async def drain(self, *, timeout: float) -> None:
        """Wait until everything written has reached containerd's FIFO."""
        if self._stderr is not None:
            await asyncio.wait([self._stderr.drained], timeout=timeout)

    @property
    def is_unread(self) -> bool:
        """Is there output that nobody has read yet? Not known of a log file or a log program: then it is not."""
        return any(_unread_bytes(fd) for fd in self._kept) or (self._stderr is not None and self._stderr.is_behind)

    def close(self) -> None:
        """Give everything back."""
        self._close_inherited()
        self.close_stdin()
        if self._stderr is not None:
            self._stderr.close()
        while self._kept:
            os.close(self._kept.pop())


async def open_stdio(*, stdin: str, stdout: str, stderr: str, container: str, namespace: str) -> Stdio:
    """Open what containerd named; an empty name is /dev/null. Raises StdioError."""
    log: LogBinary | None = None
    kept: list[int] = []
    opened: list[int] = []
    copier: StdinCopier | None = None
    errors: StderrCopier | None = None
    try:
        if stdin:
            copier = StdinCopier(stdin)
            opened.append(copier.reader)
        else:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        if urlsplit(stdout).scheme == "binary":
            log = LogBinary(stdout, container=container, namespace=namespace)
            opened += [log.output, log.errors]
        else:
            opened.append(await _open_output(stdout, kept))
            opened.append(await _open_output(stderr, kept))
        if stderr:
            errors = StderrCopier(opened[2])
            opened[2] = errors.writer
    except BaseException as error:
        for fd in (*opened, *kept):
            os.close(fd)
        if copier:
            copier.close()
        if isinstance(error, TimeoutError):
            raise StdioError("nobody reads the FIFOs of the container's output") from error
        if isinstance(error, OSError):
            raise StdioError(f"cannot open a standard stream of the container: {error}") from error
        raise
    return Stdio(inherit=(opened[0], opened[1], opened[2]), _kept=kept, _stdin=copier, _stderr=errors, _log=log)


class StdinCopier:
    """Copies containerd's stdin FIFO into a pipe; `reader` is the process's end, which the caller closes."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        # Not readable, and not at its end either, until the first writer has opened it (fifo(7), poll(2)).
        self._fifo = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        self._pending = b""
        self._loop.add_reader(self._fifo, self._read)

    def close(self) -> None:
        if self._fifo >= 0:
            self._loop.remove_reader(self._fifo)
            self._loop.remove_writer(self._writer)
            os.close(self._fifo)
            os.close(self._writer)
            self._fifo = -1

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._pending = os.read(self._fifo, COPY_SIZE)
            if not self._pending:
                self.close()
                return
            self._loop.remove_reader(self._fifo)  # one chunk at a time: the process sets the pace
            self._write()

    def _write(self) -> None:
        try:
            self._pending = self._pending[os.write(self._writer, self._pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.close()
            return
        if self._pending:
            self._loop.add_writer(self._writer, self._write)
        else:
            self._loop.remove_writer(self._writer)
            self._loop.add_reader(self._fifo, self._read)


class StderrCopier:
    """Copies a pipe to containerd's stderr; `writer` is the process's end, which the caller closes."""

    def __init__(self, output: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        self._output = output
        self._pending = b""
        self.drained: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(self._reader, False)
        os.set_blocking(output, False)

    @property
    def is_behind(self) -> bool:
        """Is there something left to copy?"""
        return self._reader >= 0 and bool(self._pending or _unread_bytes(self._reader))

    def start(self) -> None:
        """Copy from now on. Never called, and the text dropped, when the OCI runtime has failed."""
        self._loop.add_reader(self._reader, self._read)

    def close(self) -> None:
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)
            self._loop.remove_writer(self._output)
            os.close(self._reader)
            os.close(self._output)
            self._reader = -1
        if not self.drained.done():
            self.drained.set_result(None)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._pending = os.read(self._reader, COPY_SIZE)
            if not self._pending:
                self.close()
                return
            self._loop.remove_reader(self._reader)  # one chunk at a time: the client sets the pace
            self._write()

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._pending = self._pending[os.write(self._output, self._pending) :]
        if self._pending:
            self._loop.add_writer(self._output, self._write)
        else:
            self._loop.remove_writer(self._output)
            self._loop.add_reader(self._reader, self._read)


def _unread_bytes(fifo: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(fifo, termios.FIONREAD, count)
    return count[0]


async def _open_output(name: str, kept: list[int]) -> int:
    if not name:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    parts = urlsplit(name)
    if parts.scheme == "file":
        path = Path(parts.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    if parts.scheme not in ("", "fifo"):
        raise OSError(f"{name}: log URI scheme {parts.scheme!r} is not supported; use a FIFO, file:// or binary://")
    path = Path(parts.path)
    if not stat.S_ISFIFO(path.stat().st_mode):
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    writer = await fifo.open_for_writing(path)
    try:
        kept.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        os.close(writer)
        raise
    return writer
