"""Where a shim listens: one socket per container, or per group of containers (a pod)."""

import errno
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

SOCKET_DIRECTORY = Path("/run/containerd/s")
GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")


@dataclass(frozen=True)
class Address:
    """A shim's socket. `uri` is what containerd is told."""

    path: Path

    @property
    def uri(self) -> str:
        return f"unix://{self.path}"

    def answers(self) -> bool:
        """Does a living shim serve there?"""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self.path)) == 0

    @classmethod
    def of(cls, *, grpc_address: str, namespace: str, group: str) -> "Address":
        """containerd's naming: the SHA-256 of the joined path (pkg/shim/util_unix.go: SocketAddress)."""
        joined = os.path.normpath("/".join((grpc_address, namespace, group)))
        return cls(SOCKET_DIRECTORY / hashlib.sha256(joined.encode()).hexdigest())


def group_of(annotations: dict[str, str], container: str) -> str:
    """The name under which containers share a shim; the container's own id when it is alone."""
    for key in GROUP_ANNOTATIONS:
        if annotations.get(key):
            return annotations[key]
    return container


def listen(address: Address) -> socket.socket | None:
    """Bind and listen, mode 0600. None when a living shim already serves there; a dead one's socket is replaced."""
    address.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    try:
        try:
            listener.bind(str(address.path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if address.answers():
                listener.close()
                return None
            address.path.unlink(missing_ok=True)
            listener.bind(str(address.path))
    finally:
        os.umask(previous)
    listener.listen(128)
    return listener
