"""The lease channel: leases that processes of a container ask for, for themselves."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachGranted, AttachType, Message, close_all, receive_packet, send_packet
from enclave_host.channel import MALFORMED_MAX
from enclave_host.lease_grant import LeaseGrant
from tests.harness.process import wait_until
from tests.unit.fake_host import RunningDaemon
from tests.unit.lease_asking import ask, read_grant, running_host, sleeper, wait_for_states


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningDaemon]:
    with running_host(tmp_path) as running:
        yield running


def test_children_get_leases_in_the_same_enclave(host: RunningDaemon) -> None:
    with sleeper() as process, AttachClient(host.run_directory) as client:
        grant = client.request(ask(threads=1))
        client.bind(grant.lease_id, process_id=process.pid)
        with socket.socket(fileno=os.dup(grant.descriptors[-1])) as channel:
            answers = [ask_for_child(channel, own_socket=own) for own in (False, True)]
        parent = read_grant(grant)
        for lease_id, descriptors in answers:
            child = LeaseGrant.unpack(os.pread(descriptors[0], 4096, 0))
            assert (child.lease_id, child.enclave_id) == (lease_id, parent.enclave_id)
            assert (child.compartment_index, child.thread_count) == (1, 1)
            close_all(descriptors)
        # Asked again by the same process, it is the same lease: one process cannot exhaust the pool.
        assert answers[0][0] == answers[1][0] != grant.lease_id
        lease = host.call(lambda daemon: daemon.leases.leases[answers[0][0]])
        assert (lease.pid, lease.parent_id, lease.container) == (os.getpid(), grant.lease_id, "ns/one")
        host.call(lambda daemon: daemon.leases.end(lease))
        grant.close()


def ask_for_child(channel: socket.socket, *, own_socket: bool) -> tuple[int, list[int]]:
    if own_socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            send_packet(channel, Message(AttachType.CHILD).pack(), [theirs.fileno()])
            packet, descriptors, _ = receive_packet(ours)
    else:
        send_packet(channel, Message(AttachType.CHILD).pack())
        packet, descriptors, _ = receive_packet(channel)
    message = Message.unpack(packet)
    assert (message.type, message.status) == (AttachType.CHILD, 0)
    return AttachGranted.unpack(message.body).lease_id, descriptors


# A process of a container: asks for a lease of its own and says what it got, once for each line on its standard input.
CHILD = """
import socket, sys
from enclave_host.attach_protocol import *
channel = socket.socket(fileno=int(sys.argv[1]))
for line in sys.stdin:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    send_packet(channel, Message(AttachType.CHILD).pack(), [theirs.fileno()])
    theirs.close()
    packet, descriptors, _ = receive_packet(ours)
    message = Message.unpack(packet)
    print(message.status, "" if not message.status else message.body.rstrip(b"\\0").decode(), flush=True)
    close_all(descriptors)
"""


@contextmanager
def child_process(channel: int) -> Iterator[Callable[[], tuple[int, str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(channel)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[channel], text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def ask_daemon() -> tuple[int, str]:
        stdin.write("\n")
        stdin.flush()
        status, _, text = stdout.readline().rstrip("\n").partition(" ")
        return int(status), text

    with process:
        yield ask_daemon
        stdin.close()


def test_one_container_does_not_take_all_of_a_pool(host: RunningDaemon) -> None:
    wait_for_states(host, "shared", ["free"] * 6)
    with sleeper() as process, AttachClient(host.run_directory) as client, ExitStack() as stack:
        grant = client.request(ask("shared"))
        client.bind(grant.lease_id, process_id=process.pid)
        children = [stack.enter_context(child_process(grant.descriptors[-1])) for _ in range(3)]
        assert children[0]() == children[1]() == (0, "")
        status, text = children[2]()
        assert status == -errno.EAGAIN
        assert "container `ns/one` has 3 of the 3 processes" in text and "raise pools.shared.processes" in text
        assert children[0]() == (0, "")  # who has one already still gets it
        with AttachClient(host.run_directory) as other:
            other.request(ask("shared")).close()  # the operator's exec
            other.request(ask("shared", container="ns/two")).close()
        host.wait_until(lambda daemon: len(daemon.leases.leases) == 3)
        host.call(lambda daemon: daemon.leases.end(next(le for le in daemon.leases.leases.values() if le.parent_id)))
        assert children[2]()[0] == 0
        assert not host.call(lambda daemon: daemon.leases._children_coming)
        grant.close()
    host.wait_until(lambda daemon: not daemon.leases.leases)


def is_closed(channel: socket.socket) -> bool:
    """Whether the other end of a datagram socket is."""
    try:
        channel.send(b"nonsense", socket.MSG_DONTWAIT)
    except ConnectionRefusedError:
        return True
    except BlockingIOError:
        pass
    return False


def test_nonsense_on_a_lease_channel_closes_it_and_nothing_else(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        grant = client.request(ask())
        with socket.socket(fileno=os.dup(grant.descriptors[-1])) as channel:
            for _ in range(MALFORMED_MAX):
                channel.send(b"nonsense")
                assert Message.unpack(channel.recv(4096)).status == -errno.EPROTO
            host.wait_until(lambda daemon: not daemon.leases.leases[grant.lease_id].channel.is_open)
            assert wait_until(lambda: is_closed(channel))  # which a thread of the daemon does
        client.ping()
        assert host.call(lambda daemon: grant.lease_id in daemon.leases.leases)
        grant.close()
