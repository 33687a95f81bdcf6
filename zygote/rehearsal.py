"""What every shim does, done a few times before the first fork.

The interpreter rewrites code that it has executed some times for speed, and fills caches. Done here, it is done once,
on pages that all shims share; done in each shim, every such page would be copied.
"""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos.containerd import runc_options_pb2, task_v2_pb2, ttrpc_events_pb2
from protos.containerd import task_events_pb2 as events_pb2
from shim import events
from shim.address import Address
from shim.delegate import Delegate, DelegateError
from shim.events import Publisher
from shim.invocation import Invocation
from shim.reaper import Reaper
from shim.runtime import context_of
from shim.service import SERVICE_NAMES, TaskService
from shim.ttrpc.client import Client
from shim.ttrpc.server import Method, Server
from shim.ttrpc.status import StatusError
from teemate_runtime.oci.bundle import Bundle
from zygote.scratch import scratch_directory

# Python 3.11 specialises code at its eighth execution.
TIMES = 10
_CONFIG = {
    "ociVersion": "1.0.2",
    "process": {"args": ["/bin/true"], "cwd": "/", "env": ["A=1"], "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}],
    "annotations": {},
}


def rehearse() -> None:
    """Leaves nothing behind: the loop is closed, the directory removed."""
    with scratch_directory() as name:
        directory = Path(name)
        (directory / "config.json").write_text(json.dumps(_CONFIG))
        asyncio.run(_rehearse(directory))


async def _rehearse(directory: Path) -> None:
    reaper = Reaper()
    reaper.start(asyncio.get_running_loop())
    listener = _listener(directory / "shim.sock")
    publisher = Publisher(address=str(directory / "shim.sock"), namespace="rehearsal")
    service = TaskService(
        namespace="rehearsal", reaper=reaper, publisher=publisher, documents={}, on_shutdown=lambda: None
    )
    forward = Method(ttrpc_events_pb2.ForwardRequest, _take_event)
    server = Server({**service.services(), events.SERVICE: {"Forward": forward}})
    await server.start(listener)
    client = await Client.connect(str(directory / "shim.sock"))
    for _ in range(TIMES):
        _start(directory)
        await client.call(SERVICE_NAMES[0], "Connect", task_v2_pb2.ConnectRequest(id="x"), task_v2_pb2.ConnectResponse)
        with contextlib.suppress(StatusError):  # there is no such container
            await client.call(SERVICE_NAMES[0], "State", task_v2_pb2.StateRequest(id="x"), task_v2_pb2.StateResponse)
        await _delegate(directory, reaper)
        publisher.publish(events.TOPIC_START, events_pb2.TaskStart(container_id="x", pid=1))
    await client.close()
    await publisher.drain(timeout=1)
    await server.close()


async def _take_event(_request: Message) -> Message:
    return Empty()


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    listener.listen()
    return listener


def _start(directory: Path) -> None:
    words = ["-namespace", "rehearsal", "-address", "/c.sock", "-id", "x", "start"]
    Invocation.parse(words, environment={}, working_directory=directory)
    Address.of(grpc_address="/c.sock", namespace="rehearsal", group="x")


async def _delegate(directory: Path, reaper: Reaper) -> None:
    options = runc_options_pb2.Options(binary_name="/bin/true", root="/run")
    context = context_of(namespace="rehearsal", bundle=directory, options=options, document={"ociVersion": "1.0.2"})
    with contextlib.suppress(DelegateError):
        await Delegate(context, directory, reaper).run(["rehearsal"])
    bundle = Bundle(str(directory))
    try:
        bundle.config["annotations"] = {"a": "b"}
        bundle.replace_config()
    finally:
        bundle.close()
