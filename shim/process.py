"""One process of a container as containerd sees it: created, running, stopped; its streams and its exit."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from shim import fifo
from shim.console import Console, ConsoleSocket
from shim.reaper import Exit
from shim.stdio import Stdio, StdioError, open_stdio

# containerd's runc shim waits as long for the output of a deleted process.
DRAIN_TIMEOUT = 10.0
# A client that learns of the end before it has begun to read may give up its FIFO: ctr does. What is short and soon
# over is then lost, on a busy machine in one of fifty runs with a shim that does not wait.
READ_RETRY_SECONDS = 0.001
READ_TRIES = 200
# Most begin within half a millisecond, and the loop cannot sleep for less than one.
NAP_SECONDS = 0.00005
NAPS = 8


class Status(IntEnum):
    """containerd.v1.types.Status."""

    UNKNOWN = 0
    CREATED = 1
    RUNNING = 2
    STOPPED = 3
    PAUSED = 4


@dataclass(frozen=True)
class Streams:
    """The names that containerd gave for a process's standard streams."""

    stdin: str
    stdout: str
    stderr: str
    terminal: bool
    # Whose streams they are, for a log program.
    container: str
    namespace: str


@dataclass
class Process:
    """A container's init (`exec_id` empty) or one exec (`spec` is its process document)."""

    exec_id: str
    streams: Streams
    spec: bytes = b""
    pid: int = 0
    status: Status = Status.CREATED
    stdio: Stdio | None = None
    console: Console | None = None
    # Held from before the process can run until its start has been announced.
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _console_socket: ConsoleSocket | None = None
    _terminal_output: int = -1
    ended: "asyncio.Future[Exit]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def open_streams(self) -> ConsoleSocket | None:
        """Open the streams. For a terminal the console socket, on which the runtime will send the pty."""
        if self.streams.terminal:
            await self._open_terminal_output()
            self._console_socket = ConsoleSocket()
            return self._console_socket
        given = self.streams
        self.stdio = await open_stdio(
            stdin=given.stdin,
            stdout=given.stdout,
            stderr=given.stderr,
            container=given.container,
            namespace=given.namespace,
        )
        await self.stdio.ready()
        return None

    async def _open_terminal_output(self) -> None:
        if self.streams.stdout:
            try:
                self._terminal_output = await fifo.open_for_console(Path(self.streams.stdout))
            except TimeoutError as error:
                raise StdioError("nobody reads the FIFO of the terminal's output") from error

    async def streams_taken(self) -> None:
        """The runtime has started the process: take the terminal, or let go of the process's ends."""
        if self._console_socket is not None:
            master = await self._console_socket.receive()
            self._console_socket.close()
            self._console_socket = None
            self.console = Console(master, stdin=self.streams.stdin, output=self._terminal_output)
            self._terminal_output = -1
        elif self.stdio is not None:
            self.stdio.taken()

    def close_stdin(self) -> None:
        if self.console is not None:
            self.console.close_stdin()
        elif self.stdio is not None:
            self.stdio.close_stdin()

    @property
    def has_unread_output(self) -> bool:
        return self.stdio is not None and self.stdio.is_unread

    async def output_read(self) -> None:
        """Wait for a client that is about to read, but not for long: there may be none."""
        for attempt in range(READ_TRIES):
            if not self.has_unread_output:
                break
            if attempt < NAPS:
                time.sleep(NAP_SECONDS)
            else:
                await asyncio.sleep(READ_RETRY_SECONDS)

    async def drain(self) -> None:
        """Wait until all output has reached containerd's FIFOs, for at most DRAIN_TIMEOUT seconds."""
        if self.console is not None:
            await asyncio.wait([self.console.drained], timeout=DRAIN_TIMEOUT)
        elif self.stdio is not None:
            await self.stdio.drain(timeout=DRAIN_TIMEOUT)

    def close(self) -> None:
        """Give the streams back. Safe to call at any point, and twice."""
        if self._console_socket is not None:
            self._console_socket.close()
            self._console_socket = None
        if self._terminal_output >= 0:
            os.close(self._terminal_output)
            self._terminal_output = -1
        if self.console is not None:
            self.console.close()
            self.console = None
        if self.stdio is not None:
            self.stdio.close()
            self.stdio = None
