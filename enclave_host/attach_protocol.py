"""The attach protocol: the Python mirror of `mate/lease.h`, second half. A unit test compares the numbers and sizes."""

import array
import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from enclave_host.lease_grant import LEASE_MAPPINGS_MAX, POOL_NAME_SIZE
from enclave_host.packed import ProtocolError, expect_size, pack_name, unpack_name

ATTACH_MAGIC = 0x50414D54
ATTACH_VERSION = 1
ATTACH_MESSAGE_MAX = 4096
# Grant memfd, one descriptor a mapping, the lease channel.
DESCRIPTORS_MAX = LEASE_MAPPINGS_MAX + 2
# What a packet can carry (the kernel's SCM_MAX_FD). All of them are received, if only to be disposed of.
_DESCRIPTORS_POSSIBLE = 253

CONTAINER_NAME_SIZE = 256
PROCESS_NAME_SIZE = 128

_HEAD = struct.Struct("<IHHIi")
_REQUEST = struct.Struct(f"<IIQII{POOL_NAME_SIZE}s{CONTAINER_NAME_SIZE}s{PROCESS_NAME_SIZE}s")
_GRANTED = struct.Struct("<QQ")
_BIND = struct.Struct("<QII")
_USAGE = struct.Struct("<QQQQIIII")
_DONE = struct.Struct("<Q")
_PREPARE = struct.Struct("<Q")

HEAD_SIZE = _HEAD.size


class AttachType(IntEnum):
    """enum attach_type"""

    REQUEST = 1
    BIND = 2
    RELEASE = 3
    CHILD = 4
    PING = 5
    USAGE = 6
    SCRUB = 16
    SCRUBBED = 17
    PREPARE = 18
    PREPARED = 19


class RequestFlag(IntFlag):
    """attach_request.flags"""

    NONE = 0
    WAIT = 1


class AttachError(Exception):
    """The daemon's refusal: an errno and a text for the user."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Message:
    """One packet without its head. `status` is 0 or -errno, and then the body is text."""

    type: AttachType
    body: bytes = b""
    status: int = 0

    def pack(self) -> bytes:
        """The packet as bytes. Raises ProtocolError when it exceeds ATTACH_MESSAGE_MAX."""
        size = HEAD_SIZE + len(self.body)
        if size > ATTACH_MESSAGE_MAX:
            raise ProtocolError(f"packet of {size} bytes; at most {ATTACH_MESSAGE_MAX}")
        return _HEAD.pack(ATTACH_MAGIC, ATTACH_VERSION, self.type, size, self.status) + self.body

    @classmethod
    def unpack(cls, packet: bytes) -> "Message":
        """Parse a packet. Raises ProtocolError for anything that lease.h does not describe."""
        if len(packet) < HEAD_SIZE:
            raise ProtocolError(f"packet of {len(packet)} bytes is shorter than its head")
        magic, version, number, size, status = _HEAD.unpack_from(packet)
        if magic != ATTACH_MAGIC:
            raise ProtocolError(f"magic {magic:#x} instead of {ATTACH_MAGIC:#x}")
        if version != ATTACH_VERSION:
            raise ProtocolError(f"protocol version {version}; this is version {ATTACH_VERSION}")
        if size != len(packet):
            raise ProtocolError(f"head says {size} bytes, packet has {len(packet)}")
        try:
            kind = AttachType(number)
        except ValueError:
            raise ProtocolError(f"unknown message type {number}") from None
        return cls(type=kind, body=packet[HEAD_SIZE:], status=status)


def error_message(kind: AttachType, code: int, text: str) -> Message:
    """A reply that refuses: the text is cut so that the packet fits."""
    body = text.encode(errors="replace")[: ATTACH_MESSAGE_MAX - HEAD_SIZE]
    return Message(type=kind, body=body, status=-code)


def error_of(message: Message) -> AttachError:
    """The refusal that a reply with a negative status carries."""
    code = -message.status if message.status < 0 else errno.EPROTO
    return AttachError(code, message.body.decode(errors="replace") or os.strerror(code))


@dataclass(frozen=True)
class AttachRequest:
    """struct attach_request: zero threads or memory means the pool's own."""

    pool: str
    container: str
    process: str = ""
    threads: int = 0
    memory: int = 0
    wait_ms: int = 0
    flags: RequestFlag = RequestFlag.NONE

    def pack(self) -> bytes:
        """The body of an ATTACH_REQUEST. Raises ProtocolError when a name or a number does not fit."""
        try:
            return _REQUEST.pack(
                self.threads,
                self.flags,
                self.memory,
                self.wait_ms,
                0,
                pack_name("pool", self.pool, POOL_NAME_SIZE),
                pack_name("container", self.container, CONTAINER_NAME_SIZE),
                pack_name("process", self.process, PROCESS_NAME_SIZE),
            )
        except struct.error as error:
            raise ProtocolError(f"a number of the request is out of range: {error}") from None

    @classmethod
    def unpack(cls, body: bytes) -> "AttachRequest":
        """Parse and check the body of an ATTACH_REQUEST."""
        expect_size("attach_request", body, _REQUEST.size)
        threads, flags, memory, wait_ms, reserved, pool, container, process = _REQUEST.unpack(body)
        if flags & ~int(RequestFlag.WAIT) or reserved:
            raise ProtocolError("unknown flag or nonzero reserved field in attach_request")
        request = cls(
            pool=unpack_name("pool", pool),
            container=unpack_name("container", container),
            process=unpack_name("process", process),
            threads=threads,
            memory=memory,
            wait_ms=wait_ms,
            flags=RequestFlag(flags),
        )
        if not request.pool or not request.container:
            raise ProtocolError("attach_request without a pool or a container")
        return request


@dataclass(frozen=True)
class AttachGranted:
    """struct attach_granted: body of the reply to REQUEST and CHILD."""

    lease_id: int
    build_us: int = 0

    def pack(self) -> bytes:
        return _GRANTED.pack(self.lease_id, self.build_us)

    @classmethod
    def unpack(cls, body: bytes) -> "AttachGranted":
        expect_size("attach_granted", body, _GRANTED.size)
        return cls(*_GRANTED.unpack(body))


@dataclass(frozen=True)
class AttachBind:
    """struct attach_bind"""

    lease_id: int
    process_id: int

    def pack(self) -> bytes:
        return _BIND.pack(self.lease_id, self.process_id, 0)

    @classmethod
    def unpack(cls, body: bytes) -> "AttachBind":
        expect_size("attach_bind", body, _BIND.size)
        lease_id, process_id, reserved = _BIND.unpack(body)
        if reserved or not 0 < process_id <= 0x7FFFFFFF:
            raise ProtocolError("attach_bind with a process id out of range or a nonzero reserved field")
        return cls(lease_id=lease_id, process_id=process_id)


@dataclass(frozen=True)
class AttachUsage:
    """struct attach_usage: what one lease takes."""

    lease_id: int
    enclave_id: int
    memory: int
    memory_limit: int
    compartment_index: int
    thread_count: int
    threads_in_use: int
    process_id: int

    def pack(self) -> bytes:
        return _USAGE.pack(
            self.lease_id,
            self.enclave_id,
            self.memory,
            self.memory_limit,
            self.compartment_index,
            self.thread_count,
            self.threads_in_use,
            self.process_id,
        )

    @classmethod
    def unpack(cls, body: bytes) -> "AttachUsage":
        expect_size("attach_usage", body, _USAGE.size)
        return cls(*_USAGE.unpack(body))


USAGES_MAX = (ATTACH_MESSAGE_MAX - HEAD_SIZE) // _USAGE.size


def pack_container(container: str) -> bytes:
    """Body of an ATTACH_RELEASE or ATTACH_USAGE: the container id without padding."""
    return pack_name("container", container, CONTAINER_NAME_SIZE).rstrip(b"\0")


def unpack_container(body: bytes) -> str:
    """Parse the body of an ATTACH_RELEASE or ATTACH_USAGE, padded or not."""
    if not body or len(body) > CONTAINER_NAME_SIZE:
        raise ProtocolError(f"container id of {len(body)} bytes; 1 to {CONTAINER_NAME_SIZE}")
    container = unpack_name("container", body)
    if not container:
        raise ProtocolError("empty container id")
    return container


def unpack_done(body: bytes) -> int:
    """Parse the body of an ATTACH_SCRUBBED (pages erased) or ATTACH_PREPARED (bytes backed)."""
    expect_size("the body of the janitor's answer", body, _DONE.size)
    number: int = _DONE.unpack(body)[0]
    return number


def pack_done(number: int) -> bytes:
    return _DONE.pack(number)


def pack_prepare(memory: int) -> bytes:
    """`memory`: bytes to back for the program's code."""
    return _PREPARE.pack(memory)


def close_all(descriptors: list[int] | tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def receive_packet(
    sock: socket.socket, *, flags: int = 0, dispose: Callable[[list[int]], None] = close_all
) -> tuple[bytes, list[int], int | None]:
    """One packet, its descriptors (close-on-exec) and the sender's process id if the socket passes credentials.

    An empty packet is the end of the connection. Raises ProtocolError, with every descriptor disposed of, when the
    packet was truncated or has too many descriptors.
    """
    space = socket.CMSG_SPACE(_DESCRIPTORS_POSSIBLE * 4) + socket.CMSG_SPACE(12)
    packet, controls, received, _ = sock.recvmsg(ATTACH_MESSAGE_MAX, space, flags | socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    sender: int | None = None
    for level, kind, content in controls:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
            descriptors += numbers
        elif kind == socket.SCM_CREDENTIALS:
            sender = struct.unpack_from("<i", content)[0]
    if received & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(descriptors) > DESCRIPTORS_MAX:
        dispose(descriptors)
        raise ProtocolError("packet too long, or with too many descriptors")
    return packet, descriptors, sender


def send_packet(sock: socket.socket, packet: bytes, descriptors: list[int] | tuple[int, ...] = ()) -> None:
    """Send one packet with copies of the descriptors."""
    controls = []
    if descriptors:
        controls = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]
    sock.sendmsg([packet], controls, socket.MSG_NOSIGNAL)
