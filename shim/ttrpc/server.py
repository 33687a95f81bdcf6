"""A ttrpc server: serves registered services to peers of the same user."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from protos.containerd import ttrpc_pb2
from shim.ttrpc.frame import MESSAGE_SIZE_MAX, Frame, FrameError, FrameType, pack_frame, read_frame
from shim.ttrpc.status import Code, StatusError

log = logging.getLogger(__name__)

# A peer may have this many calls under way; Wait calls stay open for a container's whole life.
CALLS_PER_CONNECTION_MAX = 1024


@dataclass(frozen=True)
class Method:
    """One RPC: the request's message type and the coroutine that answers it."""

    request_type: type[Message]
    handler: Callable[[Message], Awaitable[Message]]


Services = Mapping[str, Mapping[str, Method]]


def peer_is_same_user(connection: socket.socket) -> bool:
    """Does the peer of a unix socket run as this process's user and group? (containerd: UnixSocketRequireSameUser)"""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, gid = struct.unpack("3i", raw)
    return bool(uid == os.getuid() and gid == os.getgid())


class Server:
    """Serves on a listening unix socket until closed."""

    def __init__(self, services: Services, *, stirred: Callable[[], None] = lambda: None) -> None:
        """`stirred` is called for each call, at its beginning and at its end."""
        self._services = services
        self._stirred = stirred
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._accept, sock=listener)

    async def close(self) -> None:
        """Stop listening, drop every connection and cancel what is under way."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not peer_is_same_user(writer.get_extra_info("socket")):
            log.warning("refused a connection from another user")
            writer.close()
            return
        connection = _Connection(self._services, reader, writer, self._stirred)
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)


class _Connection:
    def __init__(
        self,
        services: Services,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stirred: Callable[[], None],
    ) -> None:
        self._services = services
        self._stirred = stirred
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._last_stream = 0

    def close(self) -> None:
        for call in self._calls.values():
            call.cancel()
        self._writer.close()

    async def serve(self) -> None:
        try:
            while (frame := await read_frame(self._reader)) is not None:
                self._dispatch(frame)
        except (FrameError, ConnectionError) as error:
            log.info("connection dropped: %s", error)
        finally:
            self.close()

    def _dispatch(self, frame: Frame) -> None:
        if frame.type != FrameType.REQUEST:
            raise FrameError(f"frame of type {frame.type}: only unary requests are served")
        if frame.stream % 2 == 0 or frame.stream <= self._last_stream:
            raise FrameError(f"stream id {frame.stream} is not odd and rising")
        self._last_stream = frame.stream
        self._stirred()
        if len(self._calls) >= CALLS_PER_CONNECTION_MAX:
            raise FrameError(f"more than {CALLS_PER_CONNECTION_MAX} calls under way")
        task = asyncio.create_task(self._call(frame))
        self._calls[frame.stream] = task
        task.add_done_callback(lambda _done: self._calls.pop(frame.stream, None))

    async def _call(self, frame: Frame) -> None:
        response = ttrpc_pb2.Response()
        try:
            response.payload = await self._answer(frame)
        except StatusError as error:
            response.status.code, response.status.message = error.code, error.message
        except TimeoutError:
            response.status.code, response.status.message = Code.DEADLINE_EXCEEDED, "deadline exceeded"
        except Exception as error:
            log.exception("call failed")
            response.status.code, response.status.message = Code.INTERNAL, f"{type(error).__name__}: {error}"
        data = response.SerializeToString()
        if len(data) > MESSAGE_SIZE_MAX:
            response.Clear()
            response.status.code, response.status.message = Code.RESOURCE_EXHAUSTED, "the answer exceeds 4 MiB"
            data = response.SerializeToString()
        self._stirred()
        if not self._writer.is_closing():
            self._writer.write(pack_frame(frame.stream, FrameType.RESPONSE, data))

    async def _answer(self, frame: Frame) -> bytes:
        if frame.oversized:
            raise StatusError(Code.RESOURCE_EXHAUSTED, f"message of {frame.oversized} bytes exceeds {MESSAGE_SIZE_MAX}")
        try:
            request = ttrpc_pb2.Request.FromString(frame.payload)
        except DecodeError as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"not a ttrpc request: {error}") from error
        method = self._services.get(request.service, {}).get(request.method)
        if method is None:
            raise StatusError(Code.UNIMPLEMENTED, f"{request.service}/{request.method} is not implemented")
        try:
            message = method.request_type.FromString(request.payload)
        except DecodeError as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"{request.method}: malformed request: {error}") from error
        timeout = request.timeout_nano / 1e9 if request.timeout_nano > 0 else None
        async with asyncio.timeout(timeout):
            return (await method.handler(message)).SerializeToString()
