"""The operators' gRPC interface of a daemon in this process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachRequest
from protos import health_pb2, health_pb2_grpc, host_pb2, host_pb2_grpc
from tests.harness.patience import PATIENCE
from tests.unit.fake_host import RunningDaemon


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    pools: dict[str, dict[str, object]] = {
        "default": {"compartments": 2, "threads": 1, "maximum": 2, "trust_domain": "tenant"},
        "own": {"dedicated": True, "threads": 1, "heap": "measured", "heap_size": "1MiB"},
    }
    with RunningDaemon(tmp_path_factory.mktemp("host"), pools, with_api=True) as running:
        running.wait_until(lambda daemon: daemon.pools.get("default").enclaves)
        yield running


@pytest.fixture
def channel(host: RunningDaemon) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix:{host.run_directory}/host.sock") as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> Any:
    return host_pb2_grpc.HostStub(channel)


@pytest.fixture
def lease(host: RunningDaemon) -> Iterator[int]:
    """A lease bound to a process that sleeps."""
    process = subprocess.Popen(["sleep", "600"])
    with AttachClient(host.run_directory) as client:
        grant = client.request(AttachRequest(pool="default", container="ns/one", process="exec-7", threads=1))
        client.bind(grant.lease_id, process_id=process.pid)
        os.pwrite(grant.descriptors[2], bytes(1 << 20), 0x2000000)
        grant.close()
    yield grant.lease_id
    process.kill()
    process.wait()
    host.wait_until(lambda daemon: not daemon.leases.leases)


def test_host_says_what_it_is(stub: Any) -> None:
    info = stub.GetHost(host_pb2.GetHostRequest())
    assert info.provider == "software-model" and not info.gives_confidentiality
    assert info.process_id == os.getpid() and info.open_files > 3 and info.xfrm & 3 == 3
    assert len(info.mrsigner) == 64


def test_pools(host: RunningDaemon, stub: Any) -> None:
    host.wait_until(lambda daemon: daemon.builder.known_mrenclave(daemon.pools.get("own").plan))
    default, own = stub.ListPools(host_pb2.ListPoolsRequest()).pools
    assert (default.name, default.settings.trust_domain, default.configured) == ("default", "tenant", True)
    assert (default.enclaves, default.free, default.leased, default.retired) == (1, 2, 0, 0)
    assert (own.settings.dedicated, own.settings.heap, own.settings.heap_size) == (
        True,
        host_pb2.HEAP_MEASURED,
        1 << 20,
    )
    assert len({default.mrenclave, own.mrenclave, ""}) == 3
    assert (default.settings.prepared, default.settings.prepared_memory, own.settings.prepared) == (4, 1 << 20, 0)
    assert stub.GetPool(host_pb2.GetPoolRequest(name="own")) == own


def test_lease_and_enclave_tell_of_each_other(stub: Any, lease: int) -> None:
    (listed,) = stub.ListLeases(host_pb2.ListLeasesRequest(pool="default", container="ns/one")).leases
    assert listed.id == lease == stub.GetLease(host_pb2.GetLeaseRequest(id=lease)).id
    assert (listed.container, listed.process, listed.state) == ("ns/one", "exec-7", "bound")
    assert (listed.trust_domain, listed.threads, listed.memory_limit) == ("tenant", 1, 1 << 30)
    assert listed.compartment_memory > 1 << 20
    assert 0 < listed.process_memory < 100 << 20
    enclave = stub.GetEnclave(host_pb2.GetEnclaveRequest(id=listed.enclave_id))
    assert enclave.base == 0x7000_0000_0000 and enclave.size == 1 << 34
    compartment = enclave.compartments[listed.compartment]
    assert (compartment.state, compartment.lease_id) == ("leased", lease)
    assert enclave.memory == enclave.image_memory + sum(c.memory for c in enclave.compartments)
    assert not stub.ListLeases(host_pb2.ListLeasesRequest(container="ns/other")).leases
    assert not stub.ListLeases(host_pb2.ListLeasesRequest(pool="own")).leases


def test_prepared_compartments_are_counted_with_their_memory(host: RunningDaemon, stub: Any) -> None:
    settings = host_pb2.PoolSettings(compartments=3, threads=1, prepared=2, prepared_memory=64 << 10)
    unprepared = stub.CreatePool(host_pb2.CreatePoolRequest(name="warm", settings=settings))
    assert (unprepared.prepared, unprepared.prepared_memory) == (0, 0)
    host.wait_until(lambda daemon: daemon.pools.get("warm").prepared == 2)
    pool = stub.GetPool(host_pb2.GetPoolRequest(name="warm"))
    assert pool.settings.prepared == 2 and pool.prepared == 2 and pool.prepared_memory >= 2 * (64 << 10)
    (enclave,) = stub.ListEnclaves(host_pb2.ListEnclavesRequest(pool="warm")).enclaves
    plain, *prepared = sorted(compartment.memory for compartment in enclave.compartments)
    assert [size - plain for size in prepared] == [pool.prepared_memory // 2] * 2
    stub.DeletePool(host_pb2.DeletePoolRequest(name="warm"))


def test_life_of_a_pool(host: RunningDaemon, stub: Any) -> None:
    settings = host_pb2.PoolSettings(compartments=1, threads=1, heap=host_pb2.HEAP_UNMEASURED, heap_size=1 << 20)
    created = stub.CreatePool(host_pb2.CreatePoolRequest(name="new", settings=settings))
    assert not created.configured and created.settings.ready == 1
    resized = stub.ResizePool(host_pb2.ResizePoolRequest(name="new", ready=0, maximum=7))
    assert (resized.settings.ready, resized.settings.maximum) == (0, 7)
    host.wait_until(lambda daemon: not daemon.pools.get("new").building)
    assert stub.DrainPool(host_pb2.DrainPoolRequest(name="new")).draining
    stub.DeletePool(host_pb2.DeletePoolRequest(name="new"))
    types = [event.type for event in stub.WatchEvents(host_pb2.WatchEventsRequest(pool="new", recent=True))]
    assert types[0] == "pool.created" and types[-1] == "pool.deleted" and "pool.resized" in types


REFUSALS: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "unknown pool": (lambda s: s.GetPool(host_pb2.GetPoolRequest(name="x")), "NOT_FOUND", "default, own"),
    "unknown enclave": (lambda s: s.GetEnclave(host_pb2.GetEnclaveRequest(id=9999)), "NOT_FOUND", "9999"),
    "unknown lease": (lambda s: s.GetLease(host_pb2.GetLeaseRequest(id=9999)), "NOT_FOUND", "9999"),
    "enclaves of unknown pool": (
        lambda s: s.ListEnclaves(host_pb2.ListEnclavesRequest(pool="x")),
        "NOT_FOUND",
        "no pool `x`",
    ),
    "name taken": (lambda s: s.CreatePool(host_pb2.CreatePoolRequest(name="own")), "ALREADY_EXISTS", "own"),
    "bad name": (lambda s: s.CreatePool(host_pb2.CreatePoolRequest(name="a/b")), "INVALID_ARGUMENT", "letters"),
    "bad setting": (
        lambda s: s.CreatePool(host_pb2.CreatePoolRequest(name="y", settings=host_pb2.PoolSettings(compartments=5000))),
        "INVALID_ARGUMENT",
        "pools.y.compartments",
    ),
    "unknown heap": (
        lambda s: s.CreatePool(host_pb2.CreatePoolRequest(name="y", settings=host_pb2.PoolSettings(heap=9))),
        "INVALID_ARGUMENT",
        "pools.y.heap",
    ),
    "bad size": (
        lambda s: s.ResizePool(host_pb2.ResizePoolRequest(name="default", ready=9)),
        "INVALID_ARGUMENT",
        "pools.default.ready",
    ),
    "configured pool": (
        lambda s: s.DeletePool(host_pb2.DeletePoolRequest(name="own")),
        "FAILED_PRECONDITION",
        "configuration",
    ),
}


@pytest.mark.parametrize(("call", "status", "text"), REFUSALS.values(), ids=REFUSALS)
def test_refusal(stub: Any, call: Callable[[Any], object], status: str, text: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(stub)
    assert refused.value.code().name == status  # type: ignore[attr-defined]
    assert text in refused.value.details()  # type: ignore[attr-defined]


def test_pool_with_leases_is_not_deleted(host: RunningDaemon, stub: Any) -> None:
    settings = host_pb2.PoolSettings(compartments=1, threads=1)
    stub.CreatePool(host_pb2.CreatePoolRequest(name="busy", settings=settings))
    with AttachClient(host.run_directory) as client:
        client.request(AttachRequest(pool="busy", container="ns/one")).close()
        with pytest.raises(grpc.RpcError) as refused:
            stub.DeletePool(host_pb2.DeletePoolRequest(name="busy"))
        assert "1 leases" in refused.value.details()  # type: ignore[attr-defined]
    host.wait_until(lambda daemon: not daemon.leases.leases)
    stub.DeletePool(host_pb2.DeletePoolRequest(name="busy"))


def test_events_are_followed(host: RunningDaemon, stub: Any) -> None:
    request = host_pb2.WatchEventsRequest(pool="default", follow=True, types=["lease.granted", "lease.ended"])
    stream = stub.WatchEvents(request, timeout=PATIENCE)
    host.wait_until(lambda daemon: daemon.events.watchers)
    with AttachClient(host.run_directory) as client:
        grant = client.request(AttachRequest(pool="default", container="ns/watched"))
        grant.close()
    events = [next(stream), next(stream)]
    assert [event.type for event in events] == ["lease.granted", "lease.ended"]
    assert {(event.container, event.lease_id) for event in events} == {("ns/watched", grant.lease_id)}
    stream.cancel()
    host.wait_until(lambda daemon: not daemon.events.watchers)


def test_health(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "teemate.host.v1.Host"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refused:
        health.Check(health_pb2.HealthCheckRequest(service="other"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_socket_is_for_its_owner_only(host: RunningDaemon) -> None:
    assert (host.run_directory / "host.sock").stat().st_mode & 0o777 == 0o600
    assert Path(host.run_directory).stat().st_mode & 0o777 == 0o700
