"""containerd's output FIFOs, opened only when somebody reads them."""

import asyncio
import errno
import os
from pathlib import Path

# Clients open their ends at once; on a machine that is short of memory or time, "at once" may take long.
READER_SECONDS = 60.0
RETRY_SECONDS = 0.005


async def open_for_writing(path: Path) -> int:
    """Wait for a reader, as the stock shim does, and open for writing. Raises OSError, TimeoutError.

    Clients open their end in the background. A FIFO that nobody has open loses its content: a short container's output
    would be gone if the shim wrote and closed before the client's open.
    """
    async with asyncio.timeout(READER_SECONDS):
        while True:
            try:
                writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                break
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
    os.set_blocking(writer, True)
    return writer


async def open_for_console(path: Path) -> int:
    """The same for a terminal's output: without blocking, and with an end to read, so that a client may come and go."""
    writer = await open_for_writing(path)
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(writer)
