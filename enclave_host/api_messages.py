"""The daemon's objects as messages of `protos/host.proto`."""

from google.protobuf.timestamp_pb2 import Timestamp

from enclave_host.builder import EnclaveBuilder
from enclave_host.config import Heap, PoolConfig
from enclave_host.enclave import CompartmentState, Enclave
from enclave_host.events import Event
from enclave_host.layout import ENCLAVE_BASE
from enclave_host.lease import Lease
from enclave_host.pool import Pool
from enclave_host.usage import threads_in_use
from protos import host_pb2

_HEAPS = {
    Heap.ON_DEMAND: host_pb2.HEAP_ON_DEMAND,
    Heap.UNMEASURED: host_pb2.HEAP_UNMEASURED,
    Heap.MEASURED: host_pb2.HEAP_MEASURED,
}
_HEAP_NAMES = {number: heap.value for heap, number in _HEAPS.items()}


def timestamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def settings_from_message(message: host_pb2.PoolSettings) -> dict[str, object]:
    """As they would stand in the configuration file; what is not set is left to its default."""
    settings: dict[str, object] = {
        key: getattr(message, key)
        for key in (
            "trust_domain",
            "compartments",
            "threads",
            "memory",
            "heap_size",
            "maximum",
            "processes",
            "prepared_memory",
            "dedicated",
        )
        if getattr(message, key)
    }
    if message.heap in _HEAP_NAMES:
        settings["heap"] = _HEAP_NAMES[message.heap]
    elif message.heap != host_pb2.HEAP_UNSPECIFIED:
        settings["heap"] = str(message.heap)  # a number of a later version: refused by name
    if message.HasField("ready"):
        settings["ready"] = message.ready
    if message.HasField("prepared"):
        settings["prepared"] = message.prepared
    if message.debug_trace_syscalls:
        settings["debug__trace_syscalls"] = True
    if message.debug_no_patch:
        settings["debug__no_patch"] = True
    return settings


def settings_message(config: PoolConfig) -> host_pb2.PoolSettings:
    return host_pb2.PoolSettings(
        trust_domain=config.trust_domain,
        compartments=config.compartments,
        threads=config.threads,
        memory=config.memory,
        heap=_HEAPS[config.heap],
        heap_size=0 if config.heap is Heap.ON_DEMAND else config.heap_size,
        ready=config.ready,
        maximum=config.maximum,
        processes=config.processes,
        dedicated=config.dedicated,
        debug_trace_syscalls=config.debug__trace_syscalls,
        debug_no_patch=config.debug__no_patch,
        prepared=config.prepared,
        prepared_memory=config.prepared_memory,
    )


def pool_message(pool: Pool, *, configured: bool, builder: EnclaveBuilder) -> host_pb2.Pool:
    return host_pb2.Pool(
        name=pool.name,
        settings=settings_message(pool.config),
        draining=pool.draining,
        configured=configured,
        mrenclave=builder.known_mrenclave(pool.plan),
        enclaves=len(pool.enclaves),
        building=pool.building,
        free=0 if pool.draining else pool.count(CompartmentState.FREE),
        leased=pool.count(CompartmentState.LEASED),
        recovering=pool.count(CompartmentState.RECOVERING),
        retired=pool.retired,
        waiting=pool.waiting,
        memory=sum(enclave.memory() for enclave in pool.enclaves.values()),
        prepared=pool.prepared,
        prepared_memory=pool.prepared_memory,
    )


def enclave_message(enclave: Enclave, *, trust_domain: str) -> host_pb2.Enclave:
    return host_pb2.Enclave(
        id=enclave.id,
        pool=enclave.pool,
        trust_domain=trust_domain,
        mrenclave=enclave.mrenclave,
        mrsigner=enclave.mrsigner,
        base=ENCLAVE_BASE,
        size=enclave.size,
        build_us=enclave.build_us,
        created=timestamp(enclave.created),
        draining=enclave.draining,
        compartments=[
            host_pb2.Compartment(
                index=compartment.index,
                state=compartment.state.value,
                lease_id=compartment.lease_id,
                served=compartment.served,
                memory=compartment.memory(),
            )
            for compartment in enclave.compartments
        ],
        image_memory=enclave.pages.image_memory(),
        memory=enclave.memory(),
    )


def lease_message(lease: Lease, *, trust_domain: str, process_memory: int) -> host_pb2.Lease:
    return host_pb2.Lease(
        id=lease.id,
        pool=lease.pool,
        trust_domain=trust_domain,
        enclave_id=lease.enclave.id,
        compartment=lease.compartment.index,
        container=lease.container,
        process=lease.process_name,
        state=lease.state.value,
        process_id=lease.pid,
        threads=lease.threads,
        memory_limit=lease.memory,
        compartment_memory=lease.compartment.memory(),
        process_memory=process_memory,
        granted=timestamp(lease.granted),
        build_us=lease.build_us,
        parent_id=lease.parent_id,
        threads_in_use=threads_in_use(lease),
    )


def event_message(event: Event) -> host_pb2.Event:
    return host_pb2.Event(
        number=event.number,
        time=timestamp(event.time),
        type=event.type.value,
        pool=event.pool,
        enclave_id=event.enclave_id,
        compartment=event.compartment,
        lease_id=event.lease_id,
        container=event.container,
        text=event.text,
    )
