"""Copying between a terminal and containerd's FIFOs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from shim import fifo
from shim.console import Console


def test_the_client_sees_the_end_before_the_process_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "out"
    os.mkfifo(path)

    async def scenario() -> bytes:
        master, terminal = os.openpty()
        client = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        console = Console(master, stdin="", output=await fifo.open_for_console(path))
        os.write(terminal, b"the last words")
        os.close(terminal)
        await console.drained
        os.set_blocking(client, True)
        seen = os.read(client, 100) + os.read(client, 100)
        os.close(client)
        console.close()
        return seen

    before = len(list(Path("/proc/self/fd").iterdir()))
    assert asyncio.run(scenario()) == b"the last words"
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
