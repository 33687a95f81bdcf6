"""Output FIFOs whose reader comes late, or never: a short container's output must not be lost."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from shim import fifo
from shim.stdio import Stdio, StdioError, open_stdio


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def make_fifo(directory: Path, name: str) -> Path:
    path = directory / name
    os.mkfifo(path)
    return path


async def opening(stdout: Path, stderr: str = "") -> Stdio:
    return await open_stdio(stdin="", stdout=str(stdout), stderr=stderr, container="c", namespace="n")


@pytest.mark.parametrize("terminal", [False, True])
def test_the_process_waits_for_its_reader(tmp_path: Path, terminal: bool) -> None:
    path = make_fifo(tmp_path, "out")

    async def scenario() -> bytes:
        started = asyncio.create_task(fifo.open_for_console(path) if terminal else opening(path))
        for _ in range(3):
            await asyncio.sleep(fifo.RETRY_SECONDS)
        assert not started.done()
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        opened = await started
        if isinstance(opened, Stdio):
            assert os.get_blocking(opened.inherit[1]), "the container's process must not see EAGAIN"
            os.write(opened.inherit[1], b"all of it")
            opened.close()
        else:
            os.write(opened, b"all of it")
            os.close(opened)
        text = os.read(reader, 100)
        assert os.read(reader, 100) == b"", "nobody of ours has it open any more"
        os.close(reader)
        return text

    before = descriptors()
    assert asyncio.run(scenario()) == b"all of it"
    assert descriptors() <= before


def test_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "READER_SECONDS", 0.05)
    path = make_fifo(tmp_path, "out")

    async def scenario() -> None:
        with pytest.raises(StdioError, match="nobody reads"):
            await opening(path)

    before = descriptors()
    asyncio.run(scenario())
    assert descriptors() <= before


def test_a_call_that_is_given_up_leaves_no_descriptor(tmp_path: Path) -> None:
    read, unread = make_fifo(tmp_path, "out"), make_fifo(tmp_path, "err")

    async def scenario() -> None:
        reader = os.open(read, os.O_RDONLY | os.O_NONBLOCK)
        started = asyncio.create_task(opening(read, str(unread)))
        await asyncio.sleep(fifo.RETRY_SECONDS)
        started.cancel()
        with pytest.raises(asyncio.CancelledError):
            await started
        os.close(reader)

    before = descriptors()
    asyncio.run(scenario())
    assert descriptors() <= before
