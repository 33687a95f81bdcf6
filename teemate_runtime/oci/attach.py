"""A client of the daemon's attach socket that costs a millisecond to import.

enclave_host.attach_client speaks the same protocol for everybody else, but its imports (dataclasses, enum, socket,
pathlib) would triple the time of a `create`. A unit test holds the two against each other.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import struct

from teemate_runtime.oci.failure import Failure

MAGIC = 0x50414D54
VERSION = 1
MESSAGE_MAX = 4096
DESCRIPTORS_MAX = 10
REQUEST, BIND, RELEASE, USAGE = 1, 2, 3, 6
WAIT = 1

HEAD = struct.Struct("<IHHIi")
_REQUEST = struct.Struct("<IIQII64s256s128s")
GRANTED = struct.Struct("<QQ")
_BIND = struct.Struct("<QII")
_USAGE = struct.Struct("<QQQQIIII")

# A dedicated pool builds an enclave before it answers; what is slower than this hangs.
ANSWER_SECONDS = 60


class Usage:
    """struct attach_usage: what one lease takes."""

    __slots__ = (
        "compartment_index",
        "enclave_id",
        "lease_id",
        "memory",
        "memory_limit",
        "process_id",
        "thread_count",
        "threads_in_use",
    )

    def __init__(self, packed: bytes) -> None:
        (
            self.lease_id,
            self.enclave_id,
            self.memory,
            self.memory_limit,
            self.compartment_index,
            self.thread_count,
            self.threads_in_use,
            self.process_id,
        ) = _USAGE.unpack(packed)


class Refused(Exception):
    """The daemon's own words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Connection:
    """One connection. A lease that is requested and not bound lives as long as any process holds `socket`."""

    __slots__ = ("_path", "socket")

    def __init__(self, path: str, *, wait_ms: int = 0) -> None:
        self._path = path
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.socket.settimeout(ANSWER_SECONDS + wait_ms / 1000)
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise unreachable(path, error) from None

    def move_above(self, number: int) -> None:
        """Give its descriptor a number not below `number`."""
        if self.socket.fileno() < number:
            timeout = self.socket.gettimeout()
            moved = fcntl.fcntl(self.socket.fileno(), fcntl.F_DUPFD_CLOEXEC, number)
            self.socket.close()
            self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, moved)
            self.socket.settimeout(timeout)

    def close(self) -> None:
        """End it, also for the delegate, which may still hold a copy: the daemon is to see the end now."""
        try:
            self.socket.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # the daemon has ended it already
        self.socket.close()

    # A call in two halves, so that a caller with other things to do may wait for the socket in between.

    def ask_for_lease(
        self, *, pool: str, threads: int, memory: int, wait_ms: int, container: str, process: str
    ) -> None:
        names = [name.encode() for name in (pool, container, process)]
        self._send(REQUEST, _REQUEST.pack(threads, WAIT if wait_ms else 0, memory, wait_ms, 0, *names))

    def receive_lease(self) -> tuple[int, list[int]]:
        """A lease's id and descriptors: the grant, those its mappings name, the lease channel."""
        answer, descriptors = self._receive(REQUEST)
        if len(answer) != GRANTED.size or not descriptors:
            for descriptor in descriptors:
                os.close(descriptor)
            raise Failure(f"{self._path} answered with something that is not a lease", remedy=VERSIONS)
        return GRANTED.unpack(answer)[0], descriptors

    def ask_to_bind(self, lease_id: int, process_id: int) -> None:
        self._send(BIND, _BIND.pack(lease_id, process_id, 0))

    def receive_bind(self) -> None:
        self._receive(BIND)

    def ask_to_release(self, container: str) -> None:
        self._send(RELEASE, container.encode())

    def receive_release(self) -> None:
        self._receive(RELEASE)

    def ask_for_usage(self, container: str) -> None:
        self._send(USAGE, container.encode())

    def receive_usage(self) -> list[Usage]:
        """What each of the container's leases takes."""
        answer, _ = self._receive(USAGE)
        if len(answer) % _USAGE.size:
            raise Failure(f"{self._path} gave a malformed answer", remedy=VERSIONS)
        return [Usage(answer[at : at + _USAGE.size]) for at in range(0, len(answer), _USAGE.size)]

    def _send(self, kind: int, body: bytes) -> None:
        try:
            self.socket.send(HEAD.pack(MAGIC, VERSION, kind, HEAD.size + len(body), 0) + body, _socket.MSG_NOSIGNAL)
        except OSError as error:
            raise Failure(f"no answer from {self._path}", cause=_reason(error), remedy=SEE_LOG) from None

    def _receive(self, kind: int) -> tuple[bytes, list[int]]:
        try:
            answer, controls, flags, _ = self.socket.recvmsg(
                MESSAGE_MAX, _socket.CMSG_SPACE(4 * DESCRIPTORS_MAX), _socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise Failure(f"no answer from {self._path}", cause=_reason(error), remedy=SEE_LOG) from None
        descriptors: list[int] = []
        for level, control, content in controls:
            if level == _socket.SOL_SOCKET and control == _socket.SCM_RIGHTS:
                descriptors += struct.unpack(f"{len(content) // 4}i", content[: len(content) // 4 * 4])
        try:
            return self._checked(kind, answer, cut=bool(flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC))), descriptors
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def _checked(self, kind: int, answer: bytes, *, cut: bool) -> bytes:
        """The body of an answer that is what lease.h says."""
        if not answer:
            raise Failure(f"{self._path} closed the connection without an answer", remedy=SEE_LOG)
        if len(answer) >= HEAD.size and not cut:
            magic, version, answered, size, status = HEAD.unpack_from(answer)
            body = answer[HEAD.size :]
            if (magic, version, answered, size) == (MAGIC, VERSION, kind, len(answer)) and status <= 0:
                if status:
                    raise Refused(-status, body.decode(errors="replace") or os.strerror(-status))
                return body
        raise Failure(f"{self._path} gave a malformed answer", remedy=VERSIONS)


SEE_LOG = "see the log of teemate-hostd"
VERSIONS = "is teemate-hostd of the same version as teemate-runtime?"


def _reason(error: OSError) -> str:
    return "time-out" if isinstance(error, TimeoutError) else error.strerror or str(error)


def unreachable(path: str, error: OSError) -> Failure:
    remedy = (
        "start it: `systemctl start teemate-hostd`; if its run directory is another one, set `host` in runtime.yaml or"
        " TEEMATE_HOST in the environment of the container manager"
    )
    return Failure(f"the host daemon cannot be reached at {path}", cause=_reason(error), remedy=remedy)
