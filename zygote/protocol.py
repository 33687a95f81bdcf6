"""What fronts and the zygote say to each other: front/protocol.h, mirrored."""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x475A4D54
VERSION = 1
CALL_BYTES_MAX = 128 << 10
ORDER_BYTES_MAX = 160 << 10
ORDER_DESCRIPTORS_MAX = 16

CALL, FAILED, ENDED, STREAMS = 1, 2, 3, 4
TAKEN, COLD, EXEC, SPAWN, DONE = 16, 17, 18, 19, 20
PROGRAMS = {"shim": 1, "runtime": 2}

_HEAD = struct.Struct("<IHH")
_CALL = struct.Struct("<IHHIIII")
_NUMBER = struct.Struct("<IHHI")
_ORDER = struct.Struct(f"<IHHII{ORDER_DESCRIPTORS_MAX}i")
_STREAM_COUNT = 3


class ProtocolError(Exception):
    """The peer sent something that is not of the protocol, or of another version of it."""


@dataclass(frozen=True)
class Call:
    """One call of a front."""

    program: int
    umask: int
    directory: str
    environment: dict[bytes, bytes]
    arguments: list[str]


def receive_call(connection: socket.socket) -> Call:
    """Read a CALL. Raises ProtocolError."""
    data = connection.recv(CALL_BYTES_MAX)
    if len(data) < _CALL.size:
        raise ProtocolError("a malformed call")
    magic, version, kind, program, umask, variables, arguments = _CALL.unpack_from(data)
    if (magic, version, kind) != (MAGIC, VERSION, CALL):
        raise ProtocolError("a call of another version")
    strings = data[_CALL.size :].split(b"\0")
    if len(strings) != 1 + variables + arguments + 1 or strings[-1]:
        raise ProtocolError("a call whose strings do not add up")
    pairs = (string.partition(b"=") for string in strings[1 : 1 + variables])
    return Call(
        program=program,
        umask=umask & 0o777,
        directory=os.fsdecode(strings[0]),
        environment={name: value for name, equals, value in pairs if name and equals},
        arguments=[os.fsdecode(string) for string in strings[1 + variables : -1]],
    )


def send_call(
    connection: socket.socket, program: int, *, directory: Path, environment: dict[str, str], arguments: list[str]
) -> None:
    """CALL, as a front sends it. Raises OSError."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    strings = b"".join(os.fsencode(word) + b"\0" for word in (str(directory), *variables, *arguments))
    connection.send(_CALL.pack(MAGIC, VERSION, CALL, program, 0o022, len(variables), len(arguments)) + strings)


def finish_call(connection: socket.socket, streams: list[int]) -> int:
    """Pass the streams to who has taken the call, and wait; the status. Raises ProtocolError, OSError."""
    if connection.recv(_NUMBER.size) != _HEAD.pack(MAGIC, VERSION, TAKEN):
        raise ProtocolError("the call was not taken")
    socket.send_fds(connection, [_HEAD.pack(MAGIC, VERSION, STREAMS)], streams)
    data = connection.recv(_NUMBER.size)
    if data[: _HEAD.size] != _HEAD.pack(MAGIC, VERSION, DONE) or len(data) != _NUMBER.size:
        raise ProtocolError("no status after a call")
    return int(_NUMBER.unpack(data)[3])


def receive_streams(connection: socket.socket) -> tuple[int, ...]:
    """Read STREAMS: the caller's standard streams. Raises ProtocolError, after which the process should end."""
    numbers = array.array("i")
    data, controls, _, _ = connection.recvmsg(_HEAD.size, socket.CMSG_SPACE(_STREAM_COUNT * numbers.itemsize))
    for level, kind, content in controls:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) // numbers.itemsize * numbers.itemsize])
    if data != _HEAD.pack(MAGIC, VERSION, STREAMS) or len(numbers) != _STREAM_COUNT:
        raise ProtocolError("no streams after a call")
    return tuple(numbers)


def send_plain(connection: socket.socket, kind: int) -> None:
    """TAKEN or COLD. Raises OSError, BrokenPipeError if the front no longer waits."""
    connection.send(_HEAD.pack(MAGIC, VERSION, kind), socket.MSG_NOSIGNAL)


def send_done(connection: socket.socket, status: int) -> None:
    """The end of the call. A front that has gone meanwhile is none of our concern."""
    with contextlib.suppress(OSError):
        connection.send(_NUMBER.pack(MAGIC, VERSION, DONE, status), socket.MSG_NOSIGNAL)


def send_order(
    connection: socket.socket, kind: int, path: str, arguments: Iterable[str], redirections: list[tuple[int, int]]
) -> None:
    """EXEC or SPAWN: a program, and which of our descriptors it gets under which numbers. Raises OSError."""
    words = [os.fsencode(word) for word in arguments]
    targets = [target for _, target in redirections] + [-1] * (ORDER_DESCRIPTORS_MAX - len(redirections))
    head = _ORDER.pack(MAGIC, VERSION, kind, len(words), len(redirections), *targets)
    packet = b"".join((head, os.fsencode(path), b"\0", *(word + b"\0" for word in words)))
    if len(packet) > ORDER_BYTES_MAX:
        raise OSError(7, os.strerror(7))  # E2BIG
    sources = array.array("i", [source for source, _ in redirections])
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sources)] if sources else []
    connection.sendmsg([packet], control, socket.MSG_NOSIGNAL)


def receive_report(connection: socket.socket) -> tuple[int, int]:
    """FAILED or ENDED with its number; (0, 0) when the front has closed the connection. Raises ProtocolError."""
    try:
        data = connection.recv(_NUMBER.size)
    except ConnectionError:
        return 0, 0
    if not data:
        return 0, 0
    if len(data) == _NUMBER.size:
        magic, version, kind, number = _NUMBER.unpack(data)
        if (magic, version) == (MAGIC, VERSION) and kind in (FAILED, ENDED):
            return kind, number
    raise ProtocolError("a malformed report")
