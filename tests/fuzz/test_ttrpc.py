"""Mutated ttrpc streams against the task service: each is answered or cut off, and the shim serves the next peer.

TEEMATE_FUZZ_ROUNDS and TEEMATE_FUZZ_SEED widen or repeat a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from pathlib import Path

from protos.containerd import task_v2_pb2, ttrpc_pb2
from shim.events import Publisher
from shim.reaper import Reaper
from shim.service import SERVICE_NAMES, TaskService
from shim.ttrpc.client import Client
from shim.ttrpc.frame import HEADER, FrameType, pack_frame
from shim.ttrpc.server import Server
from tests.harness.patience import PATIENCE

ROUNDS = int(os.environ.get("TEEMATE_FUZZ_ROUNDS", "300"))
SEED = int(os.environ.get("TEEMATE_FUZZ_SEED", "20241117"))

# What needs no container: the calls that would start programs are refused for want of one.
REQUESTS = {
    "Start": task_v2_pb2.StartRequest(id="c", exec_id="e"),
    "Delete": task_v2_pb2.DeleteRequest(id="c"),
    "Exec": task_v2_pb2.ExecProcessRequest(id="c", exec_id="e", stdin="/in", terminal=True),
    "State": task_v2_pb2.StateRequest(id="c"),
    "Wait": task_v2_pb2.WaitRequest(id="c"),
    "Kill": task_v2_pb2.KillRequest(id="c", signal=9, all=True),
    "Pids": task_v2_pb2.PidsRequest(id="c"),
    "Stats": task_v2_pb2.StatsRequest(id="c"),
    "Update": task_v2_pb2.UpdateTaskRequest(id="c"),
    "CloseIO": task_v2_pb2.CloseIORequest(id="c", stdin=True),
    "ResizePty": task_v2_pb2.ResizePtyRequest(id="c", width=80, height=25),
    "Connect": task_v2_pb2.ConnectRequest(id="c"),
    "Checkpoint": task_v2_pb2.CheckpointTaskRequest(id="c"),
}


def good_stream(source: random.Random) -> bytes:
    frames = []
    for number in range(source.randrange(1, 6)):
        method, message = source.choice(list(REQUESTS.items()))
        request = ttrpc_pb2.Request(
            service=source.choice(SERVICE_NAMES), method=method, payload=message.SerializeToString()
        )
        frames.append(pack_frame(2 * number + 1, FrameType.REQUEST, request.SerializeToString()))
    return b"".join(frames)


def mutated(stream: bytes, source: random.Random) -> bytes:
    data = bytearray(stream)
    for _ in range(source.randrange(1, 8)):
        kind = source.randrange(5)
        position = source.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[position] = source.randrange(256)
        elif kind == 1 and data:
            data[position] ^= 1 << source.randrange(8)
        elif kind == 2:
            data[position:position] = source.randbytes(source.randrange(1, 20))
        elif kind == 3:
            del data[position : position + source.randrange(1, 20)]
        else:  # a header of its own
            size = source.choice([0, 1, 9, 10, 4 << 20, (4 << 20) + 1, (1 << 32) - 1, source.randrange(1 << 32)])
            header = HEADER.pack(size, source.randrange(1 << 32), source.randrange(256), source.randrange(256))
            data[position:position] = header
    return bytes(data)


async def send(path: Path, data: bytes, source: random.Random) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    position = 0
    while position < len(data):
        step = source.randrange(1, len(data) - position + 1)
        writer.write(data[position : position + step])
        position += step
        await asyncio.sleep(0)
    if source.random() < 0.8:
        writer.write_eof()
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()


async def scenario(directory: Path) -> None:
    path = directory / "s"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    publisher = Publisher(address=str(directory / "nowhere"), namespace="fuzz")
    stopped = []
    service = TaskService(
        namespace="fuzz",
        reaper=Reaper(),
        publisher=publisher,
        documents={},
        on_shutdown=lambda: stopped.append(True),
    )
    server = Server(service.services())
    await server.start(listener)
    source = random.Random(SEED)
    for number in range(ROUNDS):
        data = mutated(good_stream(source), source)
        try:
            await send(path, data, source)
        except (ConnectionError, TimeoutError) as error:
            assert not isinstance(error, TimeoutError), f"round {number}: neither answered nor cut off: {data.hex()}"
    client = await Client.connect(str(path))
    request = task_v2_pb2.ConnectRequest(id="c")
    answer = await client.call(SERVICE_NAMES[0], "Connect", request, task_v2_pb2.ConnectResponse, timeout=PATIENCE)
    assert answer.shim_pid == os.getpid() and not stopped
    await client.close()
    await publisher.drain(timeout=0)
    await server.close()
    listener.close()


def test_mutated_streams(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(scenario(tmp_path))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
