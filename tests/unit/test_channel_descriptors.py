"""Descriptors that a hostile container sends by its lease channel: none is kept, and none holds the daemon up."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachRequest, AttachType, Message, send_packet
from enclave_host.channel import MALFORMED_MAX
from enclave_host.closing import close_aside
from tests.harness.patience import PATIENCE
from tests.unit.fake_host import RunningDaemon, open_descriptors

CHILD = Message(AttachType.CHILD).pack()
LINGER_SECONDS = 3600


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path, {"small": {"compartments": 4, "threads": 2, "maximum": 1}}) as running:
        yield running


@contextmanager
def lingering() -> Iterator[socket.socket]:
    """A socket whose last close waits for an hour, or until this ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as end:
        end.connect(server.getsockname())
        peer, _ = server.accept()
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(65536))
        except BlockingIOError:
            pass
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_SECONDS))
        try:
            yield end
        finally:
            peer.close()  # with data unread: resets the connection


def as_malformed(channel: socket.socket, end: socket.socket) -> None:
    send_packet(channel, CHILD, [end.fileno()])


def as_surplus(channel: socket.socket, end: socket.socket) -> None:
    send_packet(channel, CHILD, [end.fileno()] * 64)


def within_the_answers_socket(channel: socket.socket, end: socket.socket) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        send_packet(ours, b"never read", [end.fileno()])
        send_packet(channel, CHILD, [theirs.fileno()])
        theirs.close()  # while it is under way: the daemon's copy is the last
        with suppress(ConnectionResetError):  # the answer's socket was closed with data unread
            ours.recv(1)


@pytest.mark.parametrize("send", [as_malformed, as_surplus, within_the_answers_socket])
def test_a_close_that_waits_holds_nobody_up(
    host: RunningDaemon, send: Callable[[socket.socket, socket.socket], None]
) -> None:
    with lingering() as end, AttachClient(host.run_directory, timeout=PATIENCE) as client:
        grant = client.request(AttachRequest(pool="small", container="ns/hostile"))
        with socket.socket(fileno=os.dup(grant.descriptors[-1])) as channel:
            send(channel, end)
            close_aside([end.detach()])  # whichever close is the last one waits
            client.ping()
            channel.send(b"what is unread when the lease ends")
            with lingering() as unread:
                send_packet(channel, b"", [unread.fileno()])
                close_aside([unread.detach()])
                grant.close()
                client.close()
                with AttachClient(host.run_directory, timeout=PATIENCE) as other:
                    other.ping()
                    other.request(AttachRequest(pool="small", container="ns/other")).close()


def test_descriptors_that_are_no_sockets_are_not_kept(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client, Path("/dev/null").open() as null:
        grant = client.request(AttachRequest(pool="small", container="ns/hostile"))
        before = open_descriptors()
        with socket.socket(fileno=os.dup(grant.descriptors[-1])) as channel:
            for _ in range(MALFORMED_MAX - 1):
                send_packet(channel, CHILD, [null.fileno()])
                assert Message.unpack(channel.recv(4096)).status < 0
        host.wait_until(lambda daemon: open_descriptors() <= before)
        grant.close()
