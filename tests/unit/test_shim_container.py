"""The order of what is done to one container."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from shim import process
from shim.container import Container
from shim.events import Publisher
from shim.process import Process, Status, Streams
from shim.reaper import Exit, Reaper
from shim.runtime import Runtime
from shim.stdio import open_stdio


class FakeRuntime:
    """Kills take until `killed` is set."""

    shares_processes = False

    def __init__(self) -> None:
        self.killed = asyncio.Event()
        self.deleted = False

    async def kill(self, _container: str, _number: int, *, everyone: bool) -> None:
        del everyone
        await self.killed.wait()

    async def delete(self, _container: str, *, force: bool) -> None:
        del force
        self.deleted = True


class FakePublisher:
    def publish(self, topic: str, event: Any) -> None:
        pass


def a_container(bundle: Path, runtime: FakeRuntime) -> Container:
    streams = Streams(stdin="", stdout="", stderr="", terminal=False, container="c", namespace="n")
    return Container(
        id="c",
        bundle=bundle,
        runtime=cast(Runtime, runtime),
        reaper=Reaper(),
        publisher=cast(Publisher, FakePublisher()),
        init=Process("", streams),
    )


def test_a_kill_is_answered_before_its_victim_is_deleted(tmp_path: Path) -> None:
    """Shutdown follows Delete: what is answered later is not answered at all."""

    async def scenario() -> list[str]:
        runtime = FakeRuntime()
        container = a_container(tmp_path, runtime)
        container.init.pid, container.init.status = 4711, Status.RUNNING
        order: list[str] = []
        kill = asyncio.create_task(container.kill("", 9, everyone=False))
        kill.add_done_callback(lambda _: order.append("killed"))
        await asyncio.sleep(0)
        container.init.status = Status.STOPPED
        container.init.ended.set_result(Exit(pid=4711, status=137, time_ns=0))
        delete = asyncio.create_task(container.delete())
        delete.add_done_callback(lambda _: order.append("deleted"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not runtime.deleted
        runtime.killed.set()
        await asyncio.gather(kill, delete)
        await asyncio.sleep(0)
        return order

    assert asyncio.run(scenario()) == ["killed", "deleted"]


@asynccontextmanager
async def that_wrote(directory: Path, text: bytes) -> AsyncIterator[tuple[Container, int]]:
    """A container with `text` in its output's FIFO, and the descriptor of a client that has not read it yet."""
    path = directory / "stdout"
    os.mkfifo(path)
    client = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    os.write(writer, text)
    os.close(writer)
    container = a_container(directory, FakeRuntime())
    container.init.stdio = await open_stdio(stdin="", stdout=str(path), stderr="", container="c", namespace="n")
    container.init.stdio.taken()
    yield container, client
    container.init.close()
    os.close(client)


async def end(container: Container) -> None:
    """Have its init end."""
    container.init.pid, container.init.status = 4711, Status.RUNNING
    container._watch(container.init)
    container.reaper._deliver(Exit(pid=4711, status=0, time_ns=1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert container.init.status == Status.STOPPED


@pytest.mark.parametrize("somebody_reads", [True, False])
def test_an_end_is_told_when_the_output_has_been_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, somebody_reads: bool
) -> None:
    """ctr gives up a FIFO that it is about to read when it hears of the end. But there may be no client at all."""
    monkeypatch.setattr(process, "READ_TRIES", 10**6 if somebody_reads else process.NAPS + 3)
    time_passes = asyncio.Event()
    sleep = asyncio.sleep

    async def sleep_then(seconds: float) -> None:
        if seconds:
            await time_passes.wait()
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep_then)

    async def scenario() -> None:
        async with that_wrote(tmp_path, b"hello\n") as (container, client):
            await end(container)
            assert not container.init.ended.done()
            time_passes.set()
            if somebody_reads:
                assert os.read(client, 100) == b"hello\n"
            assert (await container.init.ended).status == 0

    asyncio.run(scenario())


def test_an_end_without_output_is_told_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with that_wrote(tmp_path, b"") as (container, _client):
            await end(container)
            assert container.init.ended.done()

    asyncio.run(scenario())
