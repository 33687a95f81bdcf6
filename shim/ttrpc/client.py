"""A ttrpc client: unary calls over one connection, any number at a time."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from protos.containerd import ttrpc_pb2
from shim.ttrpc.frame import FrameError, FrameType, pack_frame, read_frame
from shim.ttrpc.status import Code, StatusError

ResponseMessage = TypeVar("ResponseMessage", bound=Message)


class Client:
    """One connection to a ttrpc server on a unix socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._streams = itertools.count(1, 2)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._receiver = asyncio.create_task(self._receive())

    @classmethod
    async def connect(cls, path: str) -> "Client":
        """Connect to the socket at `path`. Raises OSError."""
        return cls(*await asyncio.open_unix_connection(path))

    @property
    def closed(self) -> bool:
        return self._receiver.done()

    async def close(self) -> None:
        self._writer.close()
        self._receiver.cancel()
        await asyncio.gather(self._receiver, return_exceptions=True)

    async def call(
        self,
        service: str,
        method: str,
        request: Message,
        response_type: type[ResponseMessage],
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ResponseMessage:
        """Call a method. `timeout` is in seconds; metadata are the call's key-value pairs.

        Raises StatusError with the server's code, UNAVAILABLE when the connection is gone, or
        DEADLINE_EXCEEDED.
        """
        if self.closed:
            raise StatusError(Code.UNAVAILABLE, "the connection is closed")
        envelope = ttrpc_pb2.Request(service=service, method=method, payload=request.SerializeToString())
        if timeout is not None:
            envelope.timeout_nano = int(timeout * 1e9)
        for key, value in (metadata or {}).items():
            envelope.metadata.add(key=key, value=value)
        stream = next(self._streams)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[stream] = answer
        try:
            self._writer.write(pack_frame(stream, FrameType.REQUEST, envelope.SerializeToString()))
            async with asyncio.timeout(timeout):
                payload = await answer
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, f"{method}: no answer within {timeout} s") from error
        finally:
            self._waiting.pop(stream, None)
        return _decode(payload, method, response_type)

    async def _receive(self) -> None:
        try:
            while (frame := await read_frame(self._reader)) is not None:
                answer = self._waiting.get(frame.stream)
                if frame.type == FrameType.RESPONSE and answer is not None and not answer.done():
                    answer.set_result(frame.payload)
        except (FrameError, OSError):
            pass  # reported below to every call that waits
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(StatusError(Code.UNAVAILABLE, "the connection was lost"))
            self._writer.close()


def _decode(payload: bytes, method: str, response_type: type[ResponseMessage]) -> ResponseMessage:
    try:
        response = ttrpc_pb2.Response.FromString(payload)
        if response.status.code:
            code = response.status.code
            known = code in iter(Code)
            raise StatusError(Code(code) if known else Code.UNKNOWN, response.status.message)
        return response_type.FromString(response.payload)
    except DecodeError as error:
        raise StatusError(Code.INTERNAL, f"{method}: malformed answer: {error}") from error
