"""The lease channel: by it the mate asks for the leases of its child processes.

The daemon keeps one end of a datagram socket pair, the other travels with the lease. When the daemon dies the
mate's end stays in the container; a restarted daemon takes it back for a moment, connects it to a new end of its
own, and the mate never notices.
"""

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable

from enclave_host.attach_protocol import AttachType, Message, error_message, receive_packet, send_packet
from enclave_host.closing import close_aside
from enclave_host.packed import ProtocolError

ANSWER_SECONDS = 10
MALFORMED_MAX = 16

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)

# Sends the answer and closes what it came by. False: nobody has received the descriptors.
Answer = Callable[[Message, tuple[int, ...]], bool]
ChildRequest = Callable[[int, Answer], None]


class LeaseChannel:
    """The daemon's end. `on_child` is called with the id of each process that asks for a lease, and the way back."""

    def __init__(self, end: socket.socket, on_child: ChildRequest) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._end = end
        self._on_child = on_child
        self._malformed = 0
        self._closing = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._readable)

    @property
    def is_open(self) -> bool:
        return self._end.fileno() >= 0

    def close(self) -> None:
        if self.is_open:
            self._loop.remove_reader(self._end.fileno())
            close_aside([self._end.detach()])

    def _readable(self) -> None:
        try:
            packet, descriptors, sender = receive_packet(self._end, dispose=self._dispose)
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            self._refuse(error)
            return
        try:
            message = Message.unpack(packet)
            if message.type is not AttachType.CHILD or message.body or message.status or not sender:
                raise ProtocolError(f"unexpected {message.type.name} on a lease channel")
            answer = self._answer_to(descriptors)
        except (OSError, ProtocolError) as error:
            self._dispose(descriptors)
            self._refuse(error)
            return
        self._on_child(sender, answer)

    def _dispose(self, descriptors: list[int]) -> None:
        """Nothing more is read until they are closed: so a channel keeps one thread busy, not any number."""
        if descriptors and self.is_open:
            self._closing += 1
            self._loop.remove_reader(self._end.fileno())
        close_aside(descriptors, self._disposed)

    def _disposed(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._read_on)

    def _read_on(self) -> None:
        self._closing -= 1
        if not self._closing and self.is_open:
            self._loop.add_reader(self._end.fileno(), self._readable)

    def _answer_to(self, descriptors: list[int]) -> Answer:
        """Siblings share the channel: one that sends a socket of its own cannot receive another's answer."""
        if not descriptors:
            return self._answer_here
        if len(descriptors) > 1:
            raise ProtocolError(f"{len(descriptors)} descriptors with ATTACH_CHILD; at most one")
        own = socket.socket(fileno=descriptors[0])  # raises OSError if it is no socket
        if own.family != socket.AF_UNIX:
            own.detach()
            raise ProtocolError("the descriptor with ATTACH_CHILD is no unix socket")
        own.setblocking(False)

        def answer(message: Message, lent: tuple[int, ...]) -> bool:
            try:
                return _send(own, message, lent)
            finally:
                self._dispose([own.detach()])

        return answer

    def _answer_here(self, message: Message, descriptors: tuple[int, ...]) -> bool:
        return self.is_open and _send(self._end, message, descriptors)

    def _refuse(self, error: Exception) -> None:
        self._malformed += 1
        self._answer_here(error_message(AttachType.CHILD, errno.EPROTO, str(error)), ())
        if self._malformed == MALFORMED_MAX:
            _log.warning("closing a lease channel after %d malformed packets: %s", self._malformed, error)
            self.close()


def _send(end: socket.socket, message: Message, descriptors: tuple[int, ...]) -> bool:
    try:
        send_packet(end, message.pack(), descriptors)
    except OSError as error:
        _log.warning("a lease channel does not take an answer: %s", error)
        return False
    return True


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """(daemon's end, mate's end)"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", ANSWER_SECONDS, 0))
    return ours, theirs


def reconnect(theirs: socket.socket) -> socket.socket:
    """A new daemon's end for a mate's end whose daemon has died."""
    _disconnect(theirs)
    if not theirs.getsockname():
        theirs.bind("")  # an abstract name of the kernel's choice
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        # Ours is connected before it has a name: nobody but the mate's end can ever send to it.
        ours.connect(theirs.getsockname())
        ours.bind("")
        theirs.connect(ours.getsockname())
    except OSError:
        ours.close()
        raise
    return ours


def _disconnect(end: socket.socket) -> None:
    address = struct.pack("H14x", socket.AF_UNSPEC)
    if _libc.connect(end.fileno(), address, len(address)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"disconnecting a lease channel: {os.strerror(code)}")
