"""The lease of one container process, and the descriptor numbers at which the mate finds it."""

from __future__ import annotations

import fcntl
import os

from teemate_runtime.oci.annotation import Wishes
from teemate_runtime.oci.attach import Connection, Refused
from teemate_runtime.oci.failure import Failure

FIRST_DESCRIPTOR = 3
_CONTAINER_MAX = 255
_PROCESS_MAX = 127


class Lease:
    """Held by our connection until it is bound to a process."""

    __slots__ = ("connection", "descriptors", "lease_id")

    def __init__(self, connection: Connection, lease_id: int, descriptors: list[int]) -> None:
        self.connection = connection
        self.lease_id = lease_id
        self.descriptors = descriptors

    @property
    def size(self) -> int:
        """How many descriptors the mate gets."""
        return len(self.descriptors)

    def actions(self, first: int) -> list[tuple[int, int]]:
        """The dup2 calls, in order, that put the lease at `first` and up in the delegate, and the connection after it.

        Two steps, because our own descriptors may have the numbers that the lease is to get; and by dup2 because the
        shim of containerd 1.6 leaks its listening socket as descriptor 3, which would otherwise count as preserved.
        The connection is beyond what --preserve-fds names, so that it ends with the delegate: if we are killed the
        lease must not go back to its pool while the delegate still carries it into a container.
        """
        connection = first + len(self.descriptors)
        above = connection + 1
        moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in self.descriptors]
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = moved
        self.connection.move_above(above)
        actions = [(descriptor, first + index) for index, descriptor in enumerate(moved)]
        return [*actions, (self.connection.socket.fileno(), connection)]

    def bind(self, process_id: int) -> None:
        """From now on the lease lives and dies with that process. Raises Refused, ESRCH if it is gone already."""
        self.ask_to_bind(process_id)
        self.connection.receive_bind()

    def ask_to_bind(self, process_id: int) -> None:
        """The first half of bind(); the second is connection.receive_bind()."""
        self.connection.ask_to_bind(self.lease_id, process_id)

    def close(self) -> None:
        """Let go of it: if it is not bound it returns to its pool."""
        self.connection.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


class Asked:
    """A lease that has been asked for. The answer can be waited for on the connection."""

    __slots__ = ("_container", "connection")

    def __init__(self, attach_socket: str, wishes: Wishes, *, container: str, process: str = "") -> None:
        if len(container) > _CONTAINER_MAX:
            raise Failure(f"the container's name is longer than {_CONTAINER_MAX} bytes", remedy="use a shorter id")
        self._container = container
        self.connection = Connection(attach_socket, wait_ms=wishes.wait_ms)
        try:
            self.connection.ask_for_lease(
                pool=wishes.pool,
                threads=wishes.threads,
                memory=wishes.memory,
                wait_ms=wishes.wait_ms,
                container=container,
                process=process[:_PROCESS_MAX],
            )
        except BaseException:
            self.connection.close()
            raise

    def receive(self) -> Lease:
        try:
            return Lease(self.connection, *self.connection.receive_lease())
        except Refused as refusal:
            self.connection.close()
            raise Failure(f"no lease for container {self._container}", cause=str(refusal)) from None
        except BaseException:
            self.connection.close()
            raise


def container_name(root: str | None, container: str) -> str:
    """What the daemon calls a container: ids are only unique below one runtime root."""
    namespace = (root or "").rstrip("/").rpartition("/")[2]
    return f"{namespace or 'local'}/{container}"
