"""Task events to containerd, in order, with retries."""

import asyncio
import contextlib
import logging
import time

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos.containerd import ttrpc_events_pb2
from shim.ttrpc.client import Client
from shim.ttrpc.status import StatusError

log = logging.getLogger(__name__)

SERVICE = "containerd.services.events.ttrpc.v1.Events"
QUEUE_MAX = 2048
RETRIES = 5
CALL_TIMEOUT = 5.0

TOPIC_CREATE = "/tasks/create"
TOPIC_START = "/tasks/start"
TOPIC_EXIT = "/tasks/exit"
TOPIC_DELETE = "/tasks/delete"
TOPIC_EXEC_ADDED = "/tasks/exec-added"
TOPIC_EXEC_STARTED = "/tasks/exec-started"
TOPIC_OOM = "/tasks/oom"
TOPIC_PAUSED = "/tasks/paused"
TOPIC_RESUMED = "/tasks/resumed"


class Publisher:
    """A queue that one task forwards to containerd's event service (its TTRPC_ADDRESS)."""

    def __init__(self, *, address: str, namespace: str) -> None:
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._queue: asyncio.Queue[ttrpc_events_pb2.ForwardRequest | None] = asyncio.Queue(QUEUE_MAX)
        self._client: Client | None = None
        self._task = asyncio.create_task(self._run())

    def publish(self, topic: str, event: Message) -> None:
        """Queue an event. When containerd has been away for QUEUE_MAX events the newest is dropped and logged."""
        request = ttrpc_events_pb2.ForwardRequest()
        request.envelope.timestamp.FromNanoseconds(time.time_ns())
        request.envelope.namespace = self._namespace
        request.envelope.topic = topic
        # containerd wants the bare message name, without protobuf's "type.googleapis.com/".
        request.envelope.event.type_url = event.DESCRIPTOR.full_name
        request.envelope.event.value = event.SerializeToString()
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            log.error("event queue is full: dropped %s", topic)

    async def drain(self, *, timeout: float) -> None:
        """Send what is queued, then stop; gives up after `timeout` seconds."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._task
        self._task.cancel()

    async def _run(self) -> None:
        while (request := await self._queue.get()) is not None:
            for attempt in range(RETRIES + 1):
                try:
                    await self._send(request)
                    break
                except (StatusError, OSError) as error:
                    log.warning("event %s not delivered (attempt %d): %s", request.envelope.topic, attempt + 1, error)
                    await asyncio.sleep(attempt)
            else:
                log.error("event %s given up", request.envelope.topic)

    async def _send(self, request: ttrpc_events_pb2.ForwardRequest) -> None:
        if self._client is None or self._client.closed:
            self._client = await Client.connect(self._address)
        await self._client.call(
            SERVICE,
            "Forward",
            request,
            Empty,
            timeout=CALL_TIMEOUT,
            metadata={"containerd-namespace-ttrpc": self._namespace},
        )
