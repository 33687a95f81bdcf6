"""The order of what is done to one container."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from shim.container import Container
from shim.events import Publisher
from shim.process import Process, Status, Streams
from shim.reaper import Exit, Reaper
from shim.runtime import Runtime


class FakeRuntime:
    """Kills take until `killed` is set."""

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


def test_a_kill_is_answered_before_its_victim_is_deleted(tmp_path: Path) -> None:
    """Shutdown follows Delete: what is answered later is not answered at all."""

    async def scenario() -> list[str]:
        runtime = FakeRuntime()
        streams = Streams(stdin="", stdout="", stderr="", terminal=False, container="c", namespace="n")
        container = Container(
            id="c",
            bundle=tmp_path,
            runtime=cast(Runtime, runtime),
            reaper=Reaper(),
            publisher=cast(Publisher, FakePublisher()),
            init=Process("", streams, pid=4711, status=Status.RUNNING),
        )
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
