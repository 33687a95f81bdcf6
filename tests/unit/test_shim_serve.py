"""How a shim's service ends: by Shutdown, or by a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty

from protos.containerd import task_v2_pb2 as pb
from shim import action, address
from shim.events import Publisher
from shim.service import SERVICE_NAMES
from shim.ttrpc.client import Client
from tests.harness.patience import PATIENCE


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[action.Service]:
    """One that listens, in a folder whose name is short enough for a socket."""
    (tmp_path / "config.json").write_text(json.dumps({"ociVersion": "1.0.2"}))
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.setattr(address, "SOCKET_DIRECTORY", Path(name))
        words = ["-namespace", "n", "-address", "/c.sock", "-id", "c", "start"]
        outcome = action.perform(words, environment={}, directory=tmp_path)
        assert outcome.service, outcome.errors
        yield outcome.service


def forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


async def connected(service: action.Service) -> Client:
    """With a first call answered: it serves."""
    client = await Client.connect(str(service.address.path))
    await client.call(SERVICE_NAMES[0], "Connect", pb.ConnectRequest(id="c"), pb.ConnectResponse, timeout=PATIENCE)
    return client


async def connection_ends(client: Client) -> None:
    async with asyncio.timeout(PATIENCE):
        while not client.closed:
            await asyncio.sleep(0.01)


def test_who_asks_for_the_end_does_not_wait_for_the_last_event(
    service: action.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """containerd waits for the end of its connection; the next shim of the address finds it free by then."""
    released, release = os.pipe()

    async def drain(_self: Publisher, *, timeout: float) -> None:
        del timeout
        await asyncio.to_thread(os.read, released, 1)

    monkeypatch.setattr(Publisher, "drain", drain)
    shim = forked(service.serve)
    service.listener.close()

    async def scenario() -> None:
        client = await connected(service)
        await client.call(SERVICE_NAMES[0], "Shutdown", pb.ShutdownRequest(id="c"), Empty, timeout=PATIENCE)
        await connection_ends(client)
        assert not service.address.path.exists()
        assert os.waitpid(shim, os.WNOHANG) == (0, 0), "it has not waited for the event"

    asyncio.run(scenario())
    os.write(release, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(shim, 0)[1]) == 0
    os.close(release)
    os.close(released)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(service: action.Service, number: signal.Signals) -> None:
    shim = forked(service.serve)
    service.listener.close()

    async def scenario() -> None:
        client = await connected(service)
        os.kill(shim, number)
        await connection_ends(client)

    asyncio.run(scenario())
    assert os.waitstatus_to_exitcode(os.waitpid(shim, 0)[1]) == 0
    assert not service.address.path.exists()
