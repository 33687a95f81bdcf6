"""Takes over from an earlier daemon: finds its living leases and their descriptors in the containers' processes."""

import errno
import logging
import os
import socket
from collections import defaultdict

from enclave_host.channel import reconnect
from enclave_host.closing import close_aside
from enclave_host.enclave import Compartment, CompartmentState, Enclave
from enclave_host.journal import EnclaveRecord, Journal, LeaseRecord
from enclave_host.lease import Lease
from enclave_host.lease_manager import LeaseManager
from enclave_host.pool_registry import PoolRegistry
from enclave_host.process import Process, ProcessGoneError, open_process, take_files
from enclave_host.providers.base import FileIdentity, Provider

_log = logging.getLogger(__name__)


def adopt_leases(*, journal: Journal, pools: PoolRegistry, leases: LeaseManager, provider: Provider) -> None:
    """Adopt what lives, drop from the journal what does not. `pools` has an entry for every journalled enclave."""
    living: dict[int, list[tuple[LeaseRecord, Process]]] = defaultdict(list)
    for record in list(journal.leases.values()):
        process = _living_process(record)
        if process is None or record.enclave_id not in journal.enclaves:
            journal.end_lease(record.id)
        else:
            living[record.enclave_id].append((record, process))
    adopted = 0
    for enclave_id, found in living.items():
        adopted += _adopt_enclave(journal, journal.enclaves[enclave_id], found, pools, leases, provider)
    if adopted:
        _log.info("adopted %d leases of an earlier daemon", adopted)


def _living_process(record: LeaseRecord) -> Process | None:
    try:
        process = open_process(record.pid)
    except ProcessGoneError:
        return None
    if process.start_time != record.start_time:
        process.close()  # another process with the same id
        return None
    return process


def _adopt_enclave(
    journal: Journal,
    record: EnclaveRecord,
    found: list[tuple[LeaseRecord, Process]],
    pools: PoolRegistry,
    leases: LeaseManager,
    provider: Provider,
) -> int:
    image_fd = -1
    compartment_fds: dict[int, int] = {}
    usable = []
    for lease, process in found:
        files = _take_files(process, record, lease)
        try:
            if image_fd < 0:
                image_fd = _open_file(process, files, record.image, os.O_RDONLY)
            fd = _open_file(process, files, lease.compartment_file, os.O_RDWR)
        except OSError as error:
            # It keeps running: what it maps is its own. It just cannot be watched over any more.
            _log.error("lease %d of container %s: cannot be adopted: %s", lease.id, lease.container, error)
            process.close()
            journal.end_lease(lease.id)
        else:
            compartment_fds[lease.compartment] = fd
            usable.append((lease, process, _channel(process, files, lease.channel)))
        finally:
            close_aside(list(files.values()))
    if not usable:
        if image_fd >= 0:
            os.close(image_fd)
        return 0
    enclave = Enclave(
        id=record.id,
        pool=record.pool,
        plan=record.plan,
        pages=provider.adopt(image_fd=image_fd, image_segments=record.image_segments, compartment_fds=compartment_fds),
        mrenclave=record.mrenclave,
        mrsigner=record.mrsigner,
        size=record.size,
        build_us=record.build_us,
        created=record.created,
    )
    # The others' pages are gone with the earlier daemon.
    enclave.compartments = [
        Compartment(enclave, index, CompartmentState.LEASED, served=1) for index in sorted(compartment_fds)
    ]
    by_index = {compartment.index: compartment for compartment in enclave.compartments}
    pools.get(record.pool).adopt(enclave)
    for lease, process, channel in usable:
        leases.adopt(_lease(lease, by_index[lease.compartment]), process, channel)
    return len(usable)


def _lease(record: LeaseRecord, compartment: Compartment) -> Lease:
    return Lease(
        id=record.id,
        compartment=compartment,
        container=record.container,
        process_name=record.process_name,
        threads=record.threads,
        memory=record.memory,
        build_us=record.build_us,
        parent_id=record.parent_id,
        granted=record.granted,
    )


def _take_files(process: Process, enclave: EnclaveRecord, lease: LeaseRecord) -> dict[FileIdentity, int]:
    return take_files(process, {enclave.image, lease.compartment_file, *filter(None, [lease.channel])})


def _open_file(process: Process, files: dict[FileIdentity, int], wanted: FileIdentity, flags: int) -> int:
    """An open file description of our own on a file that was taken from the process."""
    if wanted not in files:
        raise OSError(errno.ENOENT, f"process {process.pid} has closed inode {wanted.inode}")
    try:
        return os.open(f"/proc/self/fd/{files[wanted]}", flags | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.dup(files[wanted])  # the kernel module's leases cannot be opened anew


def _channel(process: Process, files: dict[FileIdentity, int], wanted: FileIdentity | None) -> socket.socket | None:
    """A new daemon's end for the lease channel that the process holds. Without it, it can have no children."""
    try:
        if wanted is None or wanted not in files:
            raise OSError(errno.ENOENT, "it has closed its lease channel")
        with socket.socket(fileno=os.dup(files[wanted])) as theirs:
            return reconnect(theirs)
    except OSError as error:
        _log.warning("process %d cannot ask for leases of children any more: %s", process.pid, error)
        return None
