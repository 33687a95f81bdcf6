"""Leases through the attach socket, against a daemon in this process with stand-ins for LibOS and mate."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import (
    AttachError,
    AttachRequest,
    AttachType,
    Message,
    RequestFlag,
    close_all,
    receive_packet,
    send_packet,
)
from enclave_host.layout import COMPARTMENT_STRIDE, ENCLAVE_BASE
from enclave_host.lease import LeaseState
from teemate_runtime.oci.attach import Connection
from tests.harness.patience import PATIENCE
from tests.unit.fake_host import RunningDaemon, descriptors_are_back, settled_descriptors
from tests.unit.lease_asking import ask, read_grant, running_host, sleeper, wait_for_states

SECRET = b"the last tenant's secret"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningDaemon]:
    with running_host(tmp_path) as running:
        yield running


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

        def memory() -> int:
            return host.call(lambda daemon: daemon.leases.leases[bound.lease_id].compartment.memory())

        before = memory()
        connection.ask_for_usage("ns/one")
        first, second = connection.receive_usage()
        after = memory()
        connection.ask_for_usage("ns/nobody")
        assert connection.receive_usage() == []
        connection.close()
        assert (first.lease_id, first.process_id) == (bound.lease_id, process.pid)
        assert (first.thread_count, first.threads_in_use, first.memory_limit) == (2, 1, 32 << 20)
        assert first.compartment_index != second.compartment_index
        assert before <= first.memory <= after, "it grows as long as the compartment is prepared"
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
