"""Leases through the attach socket, against a daemon in this process with stand-ins for LibOS and mate."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from enclave_host.attach_client import AttachClient, Grant
from enclave_host.attach_protocol import (
    AttachError,
    AttachGranted,
    AttachRequest,
    AttachType,
    LeaseGrant,
    Message,
    RequestFlag,
    close_all,
    receive_packet,
    send_packet,
)
from enclave_host.channel import MALFORMED_MAX
from enclave_host.layout import COMPARTMENT_STRIDE, ENCLAVE_BASE
from enclave_host.lease import LeaseState
from teemate_runtime.oci.attach import Connection
from tests.harness.patience import PATIENCE
from tests.harness.process import wait_until
from tests.unit.fake_host import RunningDaemon, descriptors_are_back, settled_descriptors

SECRET = b"the last tenant's secret"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningDaemon]:
    pools: dict[str, dict[str, object]] = {
        "small": {"compartments": 2, "threads": 2, "maximum": 1, "memory": "64MiB"},
        "crash": {"compartments": 2, "threads": 1, "maximum": 1},
        "refuse": {"compartments": 2, "threads": 1, "maximum": 1},
        "own": {"dedicated": True, "threads": 2, "maximum": 2},
        "shared": {"compartments": 6, "threads": 1, "maximum": 1, "processes": 3},
    }
    with RunningDaemon(tmp_path, pools) as running:
        for name, settings in pools.items():
            if count := settings.get("compartments"):
                assert isinstance(count, int)
                wait_for_states(running, name, ["free"] * count)
        yield running


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(pool: str = "small", container: str = "ns/one", **more: object) -> AttachRequest:
    return AttachRequest(pool=pool, container=container, **more)  # type: ignore[arg-type]


def read_grant(grant: Grant) -> LeaseGrant:
    return LeaseGrant.unpack(os.pread(grant.descriptors[0], 4096, 0))


def test_grant_names_what_it_carries(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        grant = client.request(ask(threads=1, memory=32 << 20))
        content = read_grant(grant)
        assert (content.lease_id, content.pool, content.compartment_index) == (grant.lease_id, "small", 0)
        assert (content.thread_count, content.memory_limit) == (1, 32 << 20)
        assert content.compartment_base == ENCLAVE_BASE + COMPARTMENT_STRIDE
        assert len(grant.descriptors) == 1 + 1 + max(mapping.descriptor for mapping in content.mappings) + 1
        assert [(m.prot, m.size) for m in content.mappings] == [(5, 4096), (1, 4096), (7, COMPARTMENT_STRIDE)]
        grant.close()


def test_usage_of_a_container(host: RunningDaemon) -> None:
    with sleeper() as process, AttachClient(host.run_directory) as client:
        bound, held = client.request(ask(threads=2, memory=32 << 20)), client.request(ask())
        other = client.request(ask("own", container="ns/other"))
        client.bind(bound.lease_id, process_id=process.pid)
        connection = Connection(str(host.run_directory / "attach.sock"))
        connection.ask_for_usage("ns/one")
        first, second = connection.receive_usage()
        connection.ask_for_usage("ns/nobody")
        assert connection.receive_usage() == []
        connection.close()
        assert (first.lease_id, first.process_id) == (bound.lease_id, process.pid)
        assert (first.thread_count, first.threads_in_use, first.memory_limit) == (2, 1, 32 << 20)
        assert first.compartment_index != second.compartment_index
        memory = host.call(lambda daemon: daemon.leases.leases[bound.lease_id].compartment.memory())
        assert first.memory == memory
        assert (second.lease_id, second.process_id, second.threads_in_use) == (held.lease_id, 0, 0)
        for grant in (bound, held, other):
            grant.close()


def test_image_and_grant_cannot_be_changed(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        grant = client.request(ask())
        for descriptor in grant.descriptors[:2]:
            with pytest.raises(OSError, match=r"Operation not permitted|Bad file descriptor"):
                os.pwrite(descriptor, b"x", 0)
            with pytest.raises(OSError, match=r"Operation not permitted|Text file busy"):
                os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_TRUNC)
        with pytest.raises(PermissionError):
            os.ftruncate(grant.descriptors[2], 0)
        grant.close()


def test_enclu_is_replaced_by_a_call_of_the_model(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        grant = client.request(ask())
        site = os.pread(grant.descriptors[1], 5, 16)
        assert site[0] == 0xE8
        target = ENCLAVE_BASE + 16 + 5 + int.from_bytes(site[1:], "little", signed=True)
        assert target == 0x6FFFF0000000
        grant.close()


def test_lease_ends_with_the_connection_unless_bound(host: RunningDaemon) -> None:
    with sleeper() as process, AttachClient(host.run_directory) as client:
        held, bound = client.request(ask()), client.request(ask())
        client.bind(bound.lease_id, process_id=process.pid)
        held.close()
        bound.close()
        client.close()
        host.wait_until(lambda daemon: list(daemon.leases.leases) == [bound.lease_id])
        assert host.call(lambda daemon: daemon.leases.leases[bound.lease_id].state) is LeaseState.BOUND
    host.wait_until(lambda daemon: not daemon.leases.leases)
    wait_for_states(host, "small", ["free", "free"])


def wait_for_states(host: RunningDaemon, pool: str, states: list[str]) -> None:
    host.wait_until(
        lambda daemon: (
            [
                c.state.value
                for _, enclave in sorted(daemon.pools.get(pool).enclaves.items())
                for c in enclave.compartments
            ]
            == states
        )
    )


def test_compartment_is_erased_before_it_serves_again(host: RunningDaemon) -> None:
    for _ in range(3):  # both compartments, and one of them again
        with sleeper() as process, AttachClient(host.run_directory) as client:
            grant = client.request(ask())
            client.bind(grant.lease_id, process_id=process.pid)
            with mmap.mmap(grant.descriptors[2], 64 << 20) as memory:
                assert memory.find(SECRET) < 0
                memory[0x2000000 : 0x2000000 + len(SECRET)] = SECRET
            grant.close()
        wait_for_states(host, "small", ["free", "free"])
    scrubbed = host.call(
        lambda daemon: [event for event in daemon.events.recent() if event.type == "compartment.scrubbed"]
    )
    assert len(scrubbed) == 3


def test_compartment_waits_while_another_process_still_maps_it(host: RunningDaemon) -> None:
    with sleeper() as process, AttachClient(host.run_directory) as client:
        grant = client.request(ask())
        client.bind(grant.lease_id, process_id=process.pid)
        memory = mmap.mmap(grant.descriptors[2], 4096)
        grant.close()
    wait_for_states(host, "small", ["recovering", "free"])
    memory.close()
    wait_for_states(host, "small", ["free", "free"])


@pytest.mark.parametrize("pool", ["crash", "refuse"])
def test_compartment_that_cannot_be_scrubbed_is_retired(host: RunningDaemon, pool: str) -> None:
    with AttachClient(host.run_directory) as client:
        client.request(ask(pool)).close()
    wait_for_states(host, pool, ["retired", "free"])
    with AttachClient(host.run_directory) as client:
        grant = client.request(ask(pool))
        assert read_grant(grant).compartment_index == 1
        assert host.call(lambda daemon: daemon.pools.get(pool).retired) == 1
        grant.close()
    # Now all are: another enclave takes its place.
    wait_for_states(host, pool, ["free", "free"])
    assert host.call(lambda daemon: daemon.pools.get(pool).retired) == 2
    with AttachClient(host.run_directory) as client:
        client.request(ask("small")).close()
    wait_for_states(host, "small", ["free", "free"])


def test_exhausted_pool_answers_at_once_and_says_what_to_do(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        grants = [client.request(ask(container=f"ns/{name}")) for name in ("one", "two")]
        with pytest.raises(AttachError) as refused:
            client.request(ask(container="ns/three"))
        assert refused.value.code == errno.ENOSPC
        for text in (
            "pool `small`",
            "2 compartments",
            "ns/one",
            "ns/two",
            "pools.small.maximum",
            "pools.small.compartments",
        ):
            assert text in str(refused.value)
        for grant in grants:
            grant.close()


def test_waiting_is_first_come_first_served_and_limited(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as holder, AttachClient(host.run_directory) as second:
        grants = [holder.request(ask()), holder.request(ask())]
        with pytest.raises(AttachError) as refused, AttachClient(host.run_directory) as hasty:
            hasty.request(ask(flags=RequestFlag.WAIT, wait_ms=1))
        assert refused.value.code == errno.ENOSPC
        waiting = [
            raw_request(host, ask(container=f"ns/{n}", flags=RequestFlag.WAIT, wait_ms=60_000)) for n in range(3)
        ]
        host.wait_until(lambda daemon: daemon.pools.get("small").waiting == 3)
        waiting[1].close()  # who leaves the queue is forgotten
        host.wait_until(lambda daemon: daemon.pools.get("small").waiting == 2)
        for grant in grants:
            grant.close()
        holder.close()
        for connection in (waiting[0], waiting[2]):
            connection.settimeout(PATIENCE)
            packet, descriptors, _ = receive_packet(connection)
            assert Message.unpack(packet).status == 0
            close_all(descriptors)
            connection.close()
        second.ping()


def raw_request(host: RunningDaemon, request: AttachRequest) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(host.run_directory / "attach.sock"))
    send_packet(connection, Message(AttachType.REQUEST, request.pack()).pack())
    host.call(lambda daemon: None)
    return connection


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (ask(pool="none"), errno.ENOENT, "no pool `none` (there are: crash, own, refuse, shared, small)"),
        (ask(threads=3), errno.EINVAL, "raise pools.small.threads"),
        (ask(memory=1 << 30), errno.EINVAL, "raise pools.small.memory"),
    ],
)
def test_unfulfillable_request_names_the_setting(
    host: RunningDaemon, request_: AttachRequest, code: int, text: str
) -> None:
    with AttachClient(host.run_directory) as client:
        with pytest.raises(AttachError) as refused:
            client.request(request_)
        assert refused.value.code == code
        assert text in str(refused.value)
        client.ping()


def test_bind_needs_a_lease_of_the_connection_and_a_living_process(host: RunningDaemon) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    with AttachClient(host.run_directory) as client, AttachClient(host.run_directory) as other:
        grant = client.request(ask())
        for binder, lease_id, pid, code in (
            (other, grant.lease_id, os.getpid(), errno.ENOENT),
            (client, grant.lease_id + 1, os.getpid(), errno.ENOENT),
            (client, grant.lease_id, dead.pid, errno.ESRCH),
            (client, grant.lease_id, host.call(lambda _: threading.get_native_id()), errno.ESRCH),
        ):
            with pytest.raises(AttachError) as refused:
                binder.bind(lease_id, process_id=pid)
            assert refused.value.code == code
        grant.close()


def test_release_waits_for_nobody(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        with sleeper() as process:
            grant = client.request(ask())
            client.bind(grant.lease_id, process_id=process.pid)
            grant.close()
            with pytest.raises(AttachError, match=f"still runs: process {process.pid}") as refused:
                client.release("ns/one")
            assert refused.value.code == errno.EBUSY
        client.release("ns/one")
        client.release("ns/unknown")
        assert not host.call(lambda daemon: daemon.leases.leases)


def test_dedicated_pool_builds_for_each_container_and_destroys_afterwards(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        assert host.states("own") == []
        grants = [client.request(ask(pool="own", container=f"ns/{n}")) for n in range(2)]
        assert len({read_grant(grant).enclave_id for grant in grants}) == 2
        assert all(grant.build_us > 0 for grant in grants)
        with pytest.raises(AttachError, match=r"pools\.own\.maximum \(now 2\)"):
            client.request(ask(pool="own"))
        for grant in grants:
            grant.close()
    host.wait_until(lambda daemon: not daemon.pools.get("own").enclaves)


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


def test_draining_pool_grants_nothing_and_goes_with_its_last_lease(host: RunningDaemon) -> None:
    with AttachClient(host.run_directory) as client:
        grant = client.request(ask())
        host.call(lambda daemon: daemon.pools.drain("small"))
        with pytest.raises(AttachError, match="is draining"):
            client.request(ask())
        assert host.states("small") == ["leased", "free"]
        grant.close()
    host.wait_until(lambda daemon: not daemon.pools.get("small").enclaves)


def test_nothing_is_left_of_many_leases(host: RunningDaemon) -> None:
    def settle() -> None:
        wait_for_states(host, "small", ["free", "free"])
        host.wait_until(lambda daemon: daemon.attach_server.connections == 0)

    settle()
    before = settled_descriptors()
    for round_ in range(40):
        with sleeper() as process, AttachClient(host.run_directory) as client:
            grant = client.request(ask(container=f"ns/{round_}", flags=RequestFlag.WAIT, wait_ms=30_000))
            if round_ % 2:
                client.bind(grant.lease_id, process_id=process.pid)
            grant.close()
    settle()
    assert descriptors_are_back(before)
    memory = host.call(lambda daemon: sum(e.memory() for e in daemon.pools.get("small").enclaves.values()))
    assert memory < 4 << 20


def test_second_daemon_is_kept_out(host: RunningDaemon, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="another daemon uses"), RunningDaemon(tmp_path, {}):
        pytest.fail("two daemons serve one directory")
    with AttachClient(host.run_directory) as client:
        client.ping()
