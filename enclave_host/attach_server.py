"""attach.sock: grants leases to the OCI runtime. Unix SOCK_SEQPACKET, see `mate/lease.h`.

Every peer must be root or the daemon's own user. Foreign bytes end in an error answer or the end of that
connection, and in nothing else.
"""

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from enclave_host.attach_protocol import (
    USAGES_MAX,
    AttachBind,
    AttachGranted,
    AttachRequest,
    AttachType,
    Message,
    close_all,
    error_message,
    receive_packet,
    send_packet,
    unpack_container,
)
from enclave_host.cgroup_migration import MigrationAhead
from enclave_host.errors import HostError
from enclave_host.lease import Lease
from enclave_host.lease_manager import LeaseManager
from enclave_host.packed import ProtocolError

CONNECTIONS_MAX = 512
SILENCE_SECONDS = 60.0  # how long a connection that waits for nothing and holds nothing may stay silent
_PEERCRED = struct.Struct("iII")

_log = logging.getLogger(__name__)


class AttachServer:
    """Listens, and keeps the connections."""

    def __init__(self, path: Path, leases: LeaseManager) -> None:
        self._path = path
        self._leases = leases
        self._migration = MigrationAhead()
        self._connections: set[_Connection] = set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        """Listen. The caller has made sure that no other daemon serves this directory."""
        mask = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            self._listener.bind(os.fspath(self._path))
            self._listener.listen(socket.SOMAXCONN)
        except OSError as error:
            raise HostError(f"{self._path}: cannot listen there: {error}; see run_directory") from error
        finally:
            os.umask(mask)
        self._listener.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener.fileno(), self._accept)
        self._sweep = loop.call_later(SILENCE_SECONDS / 4, self._close_silent)

    def close(self) -> None:
        """Stop listening and end every connection."""
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._connections):
            connection.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # EMFILE and its kin would wake us for ever: pause.
            _log.error("cannot accept an attach connection: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener.fileno())
            loop.call_later(0.1, self._accept_again)
            return
        peer.setblocking(False)
        refusal = self._refusal(peer)
        if refusal is not None:
            _log.warning("refused an attach connection: %s", refusal)
            _try_send(peer, error_message(AttachType.PING, refusal.code, str(refusal)))
            peer.close()
            return
        self._connections.add(_Connection(peer, self._leases, self._migration, self._connections.discard))

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _refusal(self, peer: socket.socket) -> HostError | None:
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
        pid, uid, _ = _PEERCRED.unpack(credentials)
        if uid not in (0, os.geteuid()):
            return HostError(f"process {pid} of user {uid} may not ask for leases: only root may", code=errno.EPERM)
        if len(self._connections) >= CONNECTIONS_MAX:
            return HostError(f"{CONNECTIONS_MAX} attach connections are open: try again", code=errno.EAGAIN)
        return None

    def _close_silent(self) -> None:
        loop = asyncio.get_running_loop()
        for connection in tuple(self._connections):
            connection.close_if_silent(loop.time() - SILENCE_SECONDS)
        self._sweep = loop.call_later(SILENCE_SECONDS / 4, self._close_silent)


class _Connection:
    """One peer. It has at most one question under way; leases that it holds and has not bound end with it."""

    def __init__(
        self,
        peer: socket.socket,
        leases: LeaseManager,
        migration: MigrationAhead,
        forget: Callable[["_Connection"], None],
    ) -> None:
        self._socket = peer
        self._leases = leases
        self._migration = migration
        self._forget = forget
        self._held: dict[int, Lease] = {}
        self._cancel: Callable[[], None] | None = None
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._last_heard = self._loop.time()
        self._loop.add_reader(peer.fileno(), self._readable)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._forget(self)
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._cancel is not None:
            self._cancel()
        for lease in list(self._held.values()):
            self._leases.end(lease)

    def close_if_silent(self, since: float) -> None:
        if self._last_heard < since and self._cancel is None and not self._held:
            _log.warning("closing a silent attach connection")
            self.close()

    def _readable(self) -> None:
        try:
            packet, descriptors, _ = receive_packet(self._socket)
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            self._fail(AttachType.PING, error)
            return
        close_all(descriptors)
        if not packet:
            self.close()
            return
        self._last_heard = self._loop.time()
        kind = AttachType.PING
        try:
            message = Message.unpack(packet)
            kind = message.type
            if descriptors:
                raise ProtocolError(f"{len(descriptors)} descriptors with {kind.name}, which takes none")
            if message.status:
                raise ProtocolError("nonzero status in a request")
            if self._cancel is not None:
                raise ProtocolError("a second question before the first one was answered")
            self._handle(message)
        except ProtocolError as error:
            self._fail(kind, error)
        except HostError as error:
            self._send(error_message(kind, error.code, str(error)))
        except OSError as error:  # out of descriptors or memory
            _log.error("%s failed: %s", kind.name, error)
            self._send(error_message(kind, error.errno or errno.EIO, f"the daemon failed: {error}"))

    def _handle(self, message: Message) -> None:
        if message.type is AttachType.REQUEST:
            self._request(AttachRequest.unpack(message.body))
            return
        if message.type is AttachType.BIND:
            bind = AttachBind.unpack(message.body)
            lease = self._held.get(bind.lease_id)
            if lease is None:
                raise HostError(f"this connection holds no lease {bind.lease_id}", code=errno.ENOENT)
            self._leases.bind(lease, bind.process_id)
            del self._held[bind.lease_id]
        elif message.type is AttachType.RELEASE:
            self._leases.release(unpack_container(message.body))
        elif message.type is AttachType.USAGE:
            usages = self._leases.usage(unpack_container(message.body))
            self._send(Message(AttachType.USAGE, b"".join(usage.pack() for usage in usages[:USAGES_MAX])))
            return
        elif message.type is not AttachType.PING or message.body:
            raise ProtocolError(f"unexpected {message.type.name} on attach.sock")
        self._send(Message(message.type))

    def _request(self, request: AttachRequest) -> None:
        self._migration.expect()
        answered = False

        def granted(lease: Lease, descriptors: tuple[int, ...]) -> None:
            nonlocal answered
            answered = True
            self._cancel = None
            self._held[lease.id] = lease
            body = AttachGranted(lease.id, lease.build_us).pack()
            try:
                self._send(Message(AttachType.REQUEST, body), descriptors)
            finally:
                close_all(descriptors)

        def failed(error: HostError) -> None:
            nonlocal answered
            answered = True
            self._cancel = None
            self._send(error_message(AttachType.REQUEST, error.code, str(error)))

        cancel = self._leases.request(request, granted, failed)
        if not answered:
            self._cancel = cancel

    def _fail(self, kind: AttachType, error: Exception) -> None:
        """A peer that does not speak the protocol: say why and hang up."""
        _log.warning("closing an attach connection: %s", error)
        _try_send(self._socket, error_message(kind, errno.EPROTO, str(error)))
        self.close()

    def _send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        if self._open and not _try_send(self._socket, message, descriptors):
            _log.warning("closing an attach connection that does not take its answer")
            self.close()


def _try_send(peer: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> bool:
    try:
        send_packet(peer, message.pack(), descriptors)
    except OSError:
        return False
    return True
