"""The order of what is done to one container."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from shim import clearing, process
from shim import container as container_module
from shim.container import Container
from shim.events import Publisher
from shim.process import Process, Status, Streams
from shim.reaper import Exit, Reaper
from shim.runtime import Runtime
from shim.stdio import open_stdio


class FakeState:
    """What the delegate has left of a container: control groups that go once `may_go` is set."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.is_gone = False

    def remove_cgroups(self) -> bool:
        assert self.may_go.wait(60)
        self.is_gone = True
        return True


class FakeRuntime:
    """Kills take until `killed` is set."""

    shares_processes = False

    def __init__(self, *, left: FakeState | None = None) -> None:
        self.killed = asyncio.Event()
        self.deleted = False
        self.left = left

    def ended_state(self, _container: str) -> FakeState | None:
        return self.left

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
    monkeypatch.setattr(process, "READ_TRIES", 10**6 if somebody_reads else 3)

    async def scenario() -> None:
        async with that_wrote(tmp_path, b"hello\n") as (container, client):
            await end(container)
            if somebody_reads:
                assert not container.init.ended.done()
                assert os.read(client, 100) == b"hello\n"
            assert (await container.init.ended).status == 0

    asyncio.run(scenario())


def test_an_end_without_output_is_told_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with that_wrote(tmp_path, b"") as (container, _client):
            await end(container)
            assert container.init.ended.done()

    asyncio.run(scenario())


@pytest.fixture
def unmounted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that have been unmounted, in order."""
    calls: list[Path] = []
    for module in (container_module, clearing):
        monkeypatch.setattr(module, "unmount_rootfs", calls.append)
    return calls


async def delete_soon(container: Container) -> asyncio.Task[Exit]:
    """A Delete that has got as far as it can without waiting."""
    task = asyncio.create_task(container.delete())
    for _ in range(20):
        await asyncio.sleep(0)
    return task


def test_what_delete_would_do_is_done_when_the_container_ends(tmp_path: Path, unmounted: list[Path]) -> None:
    """And Delete, should it come meanwhile, waits for it: nothing is left when it has been answered."""

    async def scenario() -> None:
        left = FakeState()
        runtime = FakeRuntime(left=left)
        container = a_container(tmp_path, runtime)
        await end(container)
        delete = await delete_soon(container)
        assert not runtime.deleted
        left.may_go.set()
        await delete
        assert runtime.deleted
        assert left.is_gone

    asyncio.run(scenario())
    assert unmounted == [tmp_path / "rootfs"]


def test_what_the_delegate_is_to_do_is_left_until_delete(tmp_path: Path, unmounted: list[Path]) -> None:
    """A hook of its may look at the root file system."""

    async def scenario() -> None:
        container = a_container(tmp_path, FakeRuntime(left=None))
        await end(container)
        await container.init.ended
        for _ in range(20):
            await asyncio.sleep(0)
        assert unmounted == []
        await container.delete()

    asyncio.run(scenario())
    assert unmounted == [tmp_path / "rootfs"]


def test_nothing_is_cleared_away_behind_a_delete(tmp_path: Path, unmounted: list[Path]) -> None:
    """A new container may have its name, and its control groups, by then."""

    async def scenario() -> None:
        left = FakeState()
        container = a_container(tmp_path, FakeRuntime(left=left))
        container.init.pid, container.init.status = 4711, Status.STOPPED
        async with container.init.starting:  # which the announcement waits for, but Delete does not
            container._watch(container.init)
            container.reaper._deliver(Exit(pid=4711, status=0, time_ns=1))
            await (await delete_soon(container))
        left.may_go.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not left.is_gone

    asyncio.run(scenario())
    assert unmounted == [tmp_path / "rootfs"]
