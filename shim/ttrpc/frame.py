"""Frames: a 10-byte big-endian header (length, stream id, type, flags) and the message."""

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct(">IIBB")
MESSAGE_SIZE_MAX = 4 << 20


class FrameType(IntEnum):
    REQUEST = 1
    RESPONSE = 2
    DATA = 3


class FrameError(Exception):
    """The peer broke the protocol: the connection is of no more use."""


@dataclass(frozen=True)
class Frame:
    """One message. `oversized` is set, and `payload` empty, when it was longer than MESSAGE_SIZE_MAX."""

    stream: int
    type: int
    payload: bytes
    oversized: int = 0


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame, or None at the end of the stream.

    Of an oversized frame the payload is read and dropped, since the sender is owed an answer
    (ResourceExhausted) and the stream must stay in step. Raises FrameError when the stream ends inside a frame.
    """
    try:
        head = await reader.readexactly(HEADER.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("the stream ended inside a frame header") from error
        return None
    size, stream, kind, _flags = HEADER.unpack(head)
    try:
        if size > MESSAGE_SIZE_MAX:
            await _discard(reader, size)
            return Frame(stream=stream, type=kind, payload=b"", oversized=size)
        return Frame(stream=stream, type=kind, payload=await reader.readexactly(size))
    except asyncio.IncompleteReadError as error:
        raise FrameError(f"the stream ended inside a frame of {size} bytes") from error


async def _discard(reader: asyncio.StreamReader, size: int) -> None:
    while size:
        chunk = await reader.read(min(size, 1 << 16))
        if not chunk:
            raise FrameError("the stream ended inside an oversized frame")
        size -= len(chunk)


def pack_frame(stream: int, kind: FrameType, payload: bytes) -> bytes:
    """The bytes of one frame. Raises FrameError when the payload exceeds the protocol's limit."""
    if len(payload) > MESSAGE_SIZE_MAX:
        raise FrameError(f"message of {len(payload)} bytes exceeds the limit of {MESSAGE_SIZE_MAX}")
    return HEADER.pack(len(payload), stream, kind, 0) + payload
