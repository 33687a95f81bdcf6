"""A synchronous client of the daemon's attach socket."""

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from enclave_host.attach_protocol import (
    AttachBind,
    AttachError,
    AttachGranted,
    AttachRequest,
    AttachType,
    Message,
    close_all,
    error_of,
    pack_container,
    receive_packet,
    send_packet,
)
from enclave_host.packed import ProtocolError


@dataclass(frozen=True)
class Grant:
    """A granted lease. `descriptors`: grant memfd, those its mappings name, the lease channel (last)."""

    lease_id: int
    build_us: int
    descriptors: tuple[int, ...]

    def close(self) -> None:
        """Close this process's copies of the descriptors."""
        close_all(self.descriptors)


class AttachClient:
    """One connection. A lease that was requested and not yet bound is returned when the connection closes."""

    def __init__(self, run_directory: Path, *, timeout: float = 30.0) -> None:
        """Connect. Raises AttachError when there is no daemon or it may not be asked."""
        path = run_directory / "attach.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(os.fspath(path))
        except OSError as error:
            self._socket.close()
            raise _connect_error(path, error) from error

    def __enter__(self) -> "AttachClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, request: AttachRequest) -> Grant:
        """Ask for a lease. Raises AttachError with the daemon's text when it refuses."""
        reply, descriptors = self._call(Message(AttachType.REQUEST, request.pack()))
        try:
            granted = AttachGranted.unpack(reply.body)
        except ProtocolError as error:
            close_all(descriptors)
            raise AttachError(errno.EPROTO, f"unexpected answer of the daemon: {error}") from error
        return Grant(lease_id=granted.lease_id, build_us=granted.build_us, descriptors=tuple(descriptors))

    def bind(self, lease_id: int, *, process_id: int) -> None:
        """Tie the lease to a process: it ends when that process ends."""
        self._call_plain(Message(AttachType.BIND, AttachBind(lease_id, process_id).pack()))

    def release(self, container: str) -> None:
        """End the container's leases. Raises AttachError (EBUSY) while one of its processes lives."""
        self._call_plain(Message(AttachType.RELEASE, pack_container(container)))

    def ping(self) -> None:
        """Raises AttachError when the daemon does not answer."""
        self._call_plain(Message(AttachType.PING))

    def _call_plain(self, message: Message) -> None:
        _, descriptors = self._call(message)
        close_all(descriptors)

    def _call(self, message: Message) -> tuple[Message, list[int]]:
        descriptors: list[int] = []
        try:
            send_packet(self._socket, message.pack())
            packet, descriptors, _ = receive_packet(self._socket)
            if not packet:
                raise AttachError(errno.ECONNRESET, "the daemon closed the connection; see its log")
            reply = Message.unpack(packet)
        except TimeoutError as error:
            raise AttachError(errno.ETIMEDOUT, "the daemon did not answer in time") from error
        except (OSError, ProtocolError) as error:
            close_all(descriptors)
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EPROTO
            raise AttachError(code, f"talking to the daemon: {error}") from error
        if reply.status == 0 and reply.type == message.type:
            return reply, descriptors
        close_all(descriptors)
        raise error_of(reply)


def _connect_error(path: Path, error: OSError) -> AttachError:
    code = error.errno or errno.ECONNREFUSED
    if code in (errno.ENOENT, errno.ECONNREFUSED):
        return AttachError(code, f"no daemon answers at {path}; start teemate-hostd, or name its run directory")
    return AttachError(code, f"cannot connect to {path}: {os.strerror(code)}")
