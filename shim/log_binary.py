"""binary:// log URIs: a program of the user's that reads a process's output (containerd's runtime/v2/logging)."""

import asyncio
import fcntl
import os
from urllib.parse import parse_qsl, urlsplit

READY_SECONDS = 10.0
# The numbers at which the program finds the output, the errors, and the pipe to close when it is ready.
OUTPUT, ERRORS, READY = 3, 4, 5


class LogBinary:
    """The running program. `output` and `errors` are the process's ends of its pipes, which the caller closes."""

    def __init__(self, uri: str, *, container: str, namespace: str) -> None:
        """Raises OSError."""
        parts = urlsplit(uri)
        arguments = [word for pair in parse_qsl(parts.query, keep_blank_values=True) for word in pair if word]
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        (output, self.output), (errors, self.errors), (self._ready, ready) = pipes
        try:
            # Moved up first: the numbers that the program is to get may be in use by the pipes themselves.
            moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, READY + 1) for fd in (output, errors, ready)]
            numbers = (OUTPUT, ERRORS, READY)
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in zip(moved, numbers, strict=True)]
            environment = {"CONTAINER_ID": container, "CONTAINER_NAMESPACE": namespace}
            try:
                os.posix_spawn(parts.path, [parts.path, *arguments], environment, file_actions=actions)
            finally:
                for fd in moved:
                    os.close(fd)
        except OSError:
            for fd in (self.output, self.errors, self._ready):
                os.close(fd)
            raise
        finally:
            for fd in (output, errors, ready):
                os.close(fd)

    async def ready(self) -> None:
        """Wait until the program has closed, or written to, its ready pipe. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(self._ready, told.set)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await told.wait()
        finally:
            loop.remove_reader(self._ready)
            os.close(self._ready)
