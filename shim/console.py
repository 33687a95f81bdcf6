"""Terminals: receiving the pty from the OCI runtime and copying between it and containerd's FIFOs."""

import array
import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import tempfile
import termios
from pathlib import Path

COPY_SIZE = 32 << 10


class ConsoleSocket:
    """The unix socket on which the OCI runtime hands over the pty's master (runc's --console-socket)."""

    def __init__(self) -> None:
        # A short path of our own: a bundle's may exceed the 107 bytes of sun_path.
        self._directory = Path(tempfile.mkdtemp(prefix="teemate-pty-"))
        self.path = self._directory / "pty.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(self.path))
        self._socket.listen(1)
        self._socket.setblocking(False)

    async def receive(self) -> int:
        """The master's descriptor. Raises OSError when the runtime sent none."""
        connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        with connection:
            connection.setblocking(True)
            numbers = array.array("i")
            _data, ancillary, _flags, _peer = connection.recvmsg(4096, socket.CMSG_SPACE(numbers.itemsize))
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    numbers.frombytes(data[: numbers.itemsize])
        if not numbers:
            raise OSError("the OCI runtime sent no terminal over the console socket")
        os.set_inheritable(numbers[0], False)
        return numbers[0]

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
        self._directory.rmdir()


class Console:
    """A pty master, copied to stdout and from stdin by the event loop."""

    def __init__(self, master: int, *, stdin: str, output: int) -> None:
        """Owns both descriptors from now on; `output` may be -1."""
        self._loop = asyncio.get_running_loop()
        self._master = master
        os.set_blocking(master, False)
        self.drained: asyncio.Future[None] = self._loop.create_future()
        self._input = os.open(stdin, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if stdin else -1
        self._output = output
        self._to_output = bytearray()
        self._to_master = bytearray()
        self._loop.add_reader(master, self._read_master)
        if self._input >= 0:
            # A writer of our own: the FIFO must not report its end between two clients.
            self._input_keeper = os.open(stdin, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._loop.add_reader(self._input, self._read_input)

    def resize(self, *, width: int, height: int) -> None:
        """Set the window size in characters (ioctl TIOCSWINSZ)."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def close_stdin(self) -> None:
        """Stop feeding the terminal."""
        if self._input >= 0:
            self._loop.remove_reader(self._input)
            os.close(self._input)
            os.close(self._input_keeper)
            self._input = -1

    def close(self) -> None:
        self.close_stdin()
        self._end_output()
        if self._master >= 0:
            self._loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1

    def _read_master(self) -> None:
        try:
            data = os.read(self._master, COPY_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: the last process on the terminal is gone
        if not data:
            self._end_output()
            return
        if self._output >= 0:
            self._to_output += data
            self._loop.remove_reader(self._master)  # one chunk at a time: the client sets the pace
            self._write_output()

    def _write_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._to_output[: os.write(self._output, self._to_output)]
        if self._to_output:
            self._loop.add_writer(self._output, self._write_output)
        else:
            self._loop.remove_writer(self._output)
            self._loop.add_reader(self._master, self._read_master)

    def _read_input(self) -> None:
        try:
            data = os.read(self._input, COPY_SIZE)
        except BlockingIOError:
            return
        if not data:
            self.close_stdin()
            return
        self._to_master += data
        self._loop.remove_reader(self._input)
        self._write_master()

    def _write_master(self) -> None:
        try:
            del self._to_master[: os.write(self._master, self._to_master)]
        except BlockingIOError:
            pass
        except OSError:
            self._to_master.clear()  # EIO: nobody is on the terminal any more
        if self._to_master:
            self._loop.add_writer(self._master, self._write_master)
        else:
            self._loop.remove_writer(self._master)
            if self._input >= 0:
                self._loop.add_reader(self._input, self._read_input)

    def _end_output(self) -> None:
        """The client must see the end now: containerd's CRI plug-in waits for it before it deletes an exec."""
        if self._master >= 0:
            self._loop.remove_reader(self._master)
        if self._output >= 0:
            self._loop.remove_writer(self._output)
            os.close(self._output)
            self._output = -1
        if not self.drained.done():
            self.drained.set_result(None)
