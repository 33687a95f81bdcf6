"""A stand-in for the daemon's attach socket: grants leases of nothing, and counts them."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from enclave_host import attach_protocol as protocol
from enclave_host.attach_protocol import AttachBind, AttachGranted, AttachRequest, AttachType, Message
from tests.harness.patience import PATIENCE

UNKNOWN_POOL = "nopool"
REFUSAL = "no pool is called nopool; there are: default"


class FakeHost:
    """Serves DIRECTORY/attach.sock. `held`: leases whose connection is open and that are not bound."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests: list[AttachRequest] = []
        self.bindings: list[AttachBind] = []
        self.released: list[str] = []
        self.held: set[int] = set()
        self.bind_error = 0
        self.garbage: bytes | None = None
        self._changed = threading.Condition()
        directory.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(directory / "attach.sock"))
        self._socket.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        (self.directory / "attach.sock").unlink()

    def wait_nothing_held(self) -> bool:
        """True once every lease is bound or returned."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.held, timeout=PATIENCE)

    def wait_bound(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.bindings) >= count, timeout=PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        leases: set[int] = set()
        with connection:
            while True:
                packet, _, _ = protocol.receive_packet(connection)
                if not packet:
                    break
                if self.garbage is not None:
                    connection.send(self.garbage)
                    continue
                self._answer(connection, Message.unpack(packet), leases)
        with self._changed:
            self.held -= leases
            self._changed.notify_all()

    def _answer(self, connection: socket.socket, message: Message, leases: set[int]) -> None:
        reply = Message(message.type)
        descriptors: list[int] = []
        with self._changed:
            if message.type == AttachType.REQUEST:
                request = AttachRequest.unpack(message.body)
                self.requests.append(request)
                if request.pool == UNKNOWN_POOL:
                    reply = protocol.error_message(message.type, 2, REFUSAL)
                else:
                    lease = len(self.requests)
                    leases.add(lease)
                    self.held.add(lease)
                    reply = Message(message.type, AttachGranted(lease).pack())
                    descriptors = [os.memfd_create(name) for name in ("grant", "image", "compartment", "channel")]
            elif message.type == AttachType.BIND:
                if self.bind_error:
                    reply = protocol.error_message(message.type, self.bind_error, "the process is not to be bound")
                else:
                    binding = AttachBind.unpack(message.body)
                    self.bindings.append(binding)
                    self.held.discard(binding.lease_id)
            elif message.type == AttachType.RELEASE:
                self.released.append(protocol.unpack_container(message.body))
            self._changed.notify_all()
        protocol.send_packet(connection, reply.pack(), descriptors)
        protocol.close_all(descriptors)
