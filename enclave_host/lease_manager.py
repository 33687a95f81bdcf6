"""Grants leases, ties them to processes, and recovers compartments when they end. Runs in the daemon's loop."""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable

from enclave_host.attach_protocol import (
    AttachGranted,
    AttachRequest,
    AttachType,
    AttachUsage,
    Message,
    RequestFlag,
    close_all,
    error_message,
)
from enclave_host.channel import Answer, LeaseChannel, channel_pair
from enclave_host.config import format_size
from enclave_host.enclave import Compartment, Enclave
from enclave_host.errors import BusyError, HostError
from enclave_host.events import EventLog, EventType
from enclave_host.journal import EnclaveRecord, Journal, LeaseRecord
from enclave_host.lease import Lease
from enclave_host.lending import Lender
from enclave_host.pool import Pool, Waiter
from enclave_host.pool_registry import PoolRegistry
from enclave_host.process import Process, open_process
from enclave_host.providers.base import file_identity
from enclave_host.recovery import Recovery
from enclave_host.usage import usage_of

_log = logging.getLogger(__name__)

# Takes a new lease and the descriptors of its grant; closes the latter.
Granted = Callable[[Lease, tuple[int, ...]], None]
Failed = Callable[[HostError], None]


class LeaseManager:
    """All leases."""

    def __init__(
        self, *, pools: PoolRegistry, lender: Lender, recovery: Recovery, journal: Journal, events: EventLog
    ) -> None:
        self.leases: dict[int, Lease] = {}
        self._children_coming: Counter[str] = Counter()  # by container: asked for, and not placed yet
        self._pools = pools
        self._lender = lender
        self._recovery = recovery
        self._journal = journal
        self._events = events

    def holders(self, pool: str) -> list[str]:
        """The containers that hold compartments of the pool, each once, oldest first."""
        return list(dict.fromkeys(lease.container for lease in self.leases.values() if lease.pool == pool))

    def request(self, request: AttachRequest, granted: Granted, failed: Failed) -> Callable[[], None]:
        """Ask for a lease for a container process. Returns what cancels the request while it waits."""
        try:
            pool = self._pools.get(request.pool)
            _check_fits(request, pool)
        except HostError as error:
            failed(error)
            return lambda: None

        def placed(compartment: Compartment) -> None:
            self._grant(
                compartment,
                granted,
                failed,
                container=request.container,
                process_name=request.process,
                threads=request.threads or pool.config.threads,
                memory=request.memory or pool.config.memory,
            )

        waiter = Waiter(placed, failed)
        wait = request.wait_ms / 1000 if request.flags & RequestFlag.WAIT else 0.0
        pool.acquire(waiter, wait_seconds=wait)
        return lambda: pool.cancel(waiter)

    def bind(self, lease: Lease, pid: int) -> None:
        """From now on the lease lives as long as the process. Raises HostError."""
        if lease.process is not None:
            raise BusyError(f"lease {lease.id} is bound to process {lease.pid} already")
        process = open_process(pid)
        self._attach_process(lease, process)
        self._journal_lease(lease, process)
        self._record(EventType.LEASE_BOUND, lease, f"process {pid}")

    def adopt(self, lease: Lease, process: Process, channel: socket.socket | None) -> None:
        """Take over a lease of an earlier daemon."""
        self.leases[lease.id] = lease
        self._attach_process(lease, process)
        if channel is not None:
            self._open_channel(lease, channel)
        lease.compartment.lease_id = lease.id
        self._record(EventType.LEASE_ADOPTED, lease, f"process {process.pid}")

    def release(self, container: str) -> None:
        """End the container's leases whose process is gone. Raises BusyError if one lives."""
        alive = []
        for lease in [lease for lease in self.leases.values() if lease.container == container]:
            if lease.process is None:
                continue  # held by a connection, whose end returns it
            if lease.process.has_ended:
                self.end(lease)
            else:
                alive.append(lease.pid)
        if alive:
            raise BusyError(f"container `{container}` still runs: process {', '.join(map(str, alive))}; kill it first")

    def usage(self, container: str) -> list[AttachUsage]:
        """What the container's leases take now, oldest first."""
        return [usage_of(lease) for lease in self.leases.values() if lease.container == container]

    def end(self, lease: Lease) -> None:
        """The lease is over: take everything back and recover the compartment."""
        if self.leases.pop(lease.id, None) is None:
            return
        if lease.channel is not None:
            lease.channel.close()
        if lease.process is not None:
            asyncio.get_running_loop().remove_reader(lease.process.pidfd)
            lease.process.close()
        self._journal.end_lease(lease.id)
        self._record(EventType.LEASE_ENDED, lease)
        lease.compartment.lease_id = 0
        self._recovery.recover(self._pools.get(lease.pool), lease.compartment)

    def close(self) -> None:
        """Let go of everything; the journal keeps what the next daemon must know."""
        loop = asyncio.get_running_loop()
        for lease in self.leases.values():
            if lease.channel is not None:
                lease.channel.close()
            if lease.process is not None:
                loop.remove_reader(lease.process.pidfd)
                lease.process.close()
        self.leases.clear()

    def _grant(
        self,
        compartment: Compartment,
        granted: Granted,
        failed: Failed,
        *,
        container: str,
        process_name: str,
        threads: int,
        memory: int,
        parent_id: int = 0,
    ) -> None:
        pool = self._pools.get(compartment.enclave.pool)
        lease = Lease(
            id=self._journal.next_id(),
            compartment=compartment,
            container=container,
            process_name=process_name,
            threads=threads,
            memory=memory,
            build_us=compartment.enclave.build_us if pool.config.dedicated else 0,
            parent_id=parent_id,
        )
        try:
            descriptors = self._grant_descriptors(lease)
        except OSError as error:
            self._recovery.recover(pool, compartment)
            failed(HostError(f"cannot lend compartment: {error}", code=error.errno or errno.EIO))
            return
        compartment.lease_id = lease.id
        self.leases[lease.id] = lease
        self._record(EventType.LEASE_GRANTED, lease)
        granted(lease, descriptors)

    def _grant_descriptors(self, lease: Lease) -> tuple[int, ...]:
        lent = self._lender.lend(
            lease.compartment,
            self._pools.get(lease.pool).config,
            lease_id=lease.id,
            threads=lease.threads,
            memory=lease.memory,
        )
        try:
            return (*lent, self._new_channel(lease))
        except OSError:
            close_all(lent)
            raise

    def _new_channel(self, lease: Lease) -> int:
        ours, theirs = channel_pair()
        lease.channel_file = file_identity(theirs.fileno())
        self._open_channel(lease, ours)
        return theirs.detach()

    def _open_channel(self, lease: Lease, end: socket.socket) -> None:
        if lease.channel is not None:
            lease.channel.close()
        lease.channel = LeaseChannel(end, lambda pid, answer: self._child(lease, pid, answer))

    def _child(self, parent: Lease, pid: int, answer: Answer) -> None:
        """A process of the parent's container wants a lease of its own."""

        def failed(error: HostError) -> None:
            answer(error_message(AttachType.CHILD, error.code, str(error)), ())

        def granted(lease: Lease, descriptors: tuple[int, ...]) -> None:
            try:
                if lease.process is None:
                    self.bind(lease, pid)
                else:
                    self._journal_lease(lease, lease.process)  # it has a new channel
                sent = answer(Message(AttachType.CHILD, AttachGranted(lease.id, lease.build_us).pack()), descriptors)
            except HostError as error:
                failed(error)
                sent = False
            except OSError as error:
                failed(HostError(f"the daemon failed: {error}", code=error.errno or errno.EIO))
                sent = False
            finally:
                close_all(descriptors)
            if not sent:
                self.end(lease)

        again = next((lease for lease in self.leases.values() if lease.parent_id and lease.pid == pid), None)
        if again is not None and again.container == parent.container:
            try:
                granted(again, self._grant_descriptors(again))
            except OSError as error:
                failed(HostError(f"cannot lend compartment: {error}", code=error.errno or errno.EIO))
            return
        try:
            pool = self._pools.get(parent.pool)
            self._check_may_have_child(parent.container, pool)
        except HostError as error:
            failed(error)
            return

        def not_placed(error: HostError) -> None:
            self._child_came(parent.container)
            failed(error)

        def placed(compartment: Compartment) -> None:
            self._child_came(parent.container)
            self._grant(
                compartment,
                granted,
                failed,
                container=parent.container,
                process_name=parent.process_name,
                threads=min(parent.threads, pool.config.threads),
                memory=min(parent.memory, pool.config.memory),
                parent_id=parent.id,
            )

        self._children_coming[parent.container] += 1
        pool.acquire(Waiter(placed, not_placed), near=parent.enclave)

    def _check_may_have_child(self, container: str, pool: Pool) -> None:
        held = sum(1 for lease in self.leases.values() if lease.pool == pool.name and lease.container == container)
        if held + self._children_coming[container] < pool.config.processes:
            return
        raise HostError(
            f"container `{container}` has {held} of the {pool.config.processes} processes that pool `{pool.name}` "
            f"allows to one container: end some, or raise pools.{pool.name}.processes",
            code=errno.EAGAIN,
        )

    def _child_came(self, container: str) -> None:
        self._children_coming[container] -= 1
        if not self._children_coming[container]:
            del self._children_coming[container]

    def _attach_process(self, lease: Lease, process: Process) -> None:
        lease.process = process
        asyncio.get_running_loop().add_reader(process.pidfd, self.end, lease)

    def _journal_lease(self, lease: Lease, process: Process) -> None:
        self._journal.add_lease(_lease_record(lease, process), _enclave_record(lease.enclave))

    def _record(self, kind: EventType, lease: Lease, text: str = "") -> None:
        self._events.record(
            kind,
            pool=lease.pool,
            enclave_id=lease.enclave.id,
            compartment=lease.compartment.index,
            lease_id=lease.id,
            container=lease.container,
            text=text,
        )


def _check_fits(request: AttachRequest, pool: Pool) -> None:
    if request.threads > pool.config.threads:
        raise HostError(
            f"{request.threads} threads asked for, pool `{pool.name}` has {pool.config.threads} in a compartment; "
            f"raise pools.{pool.name}.threads"
        )
    if request.memory > pool.config.memory:
        raise HostError(
            f"{format_size(request.memory)} asked for, pool `{pool.name}` gives {format_size(pool.config.memory)} to a "
            f"compartment; raise pools.{pool.name}.memory"
        )


def _lease_record(lease: Lease, process: Process) -> LeaseRecord:
    return LeaseRecord(
        id=lease.id,
        enclave_id=lease.enclave.id,
        compartment=lease.compartment.index,
        compartment_file=lease.enclave.pages.compartment_identity(lease.compartment.index),
        container=lease.container,
        process_name=lease.process_name,
        threads=lease.threads,
        memory=lease.memory,
        build_us=lease.build_us,
        parent_id=lease.parent_id,
        granted=lease.granted,
        pid=process.pid,
        start_time=process.start_time,
        channel=lease.channel_file,
    )


def _enclave_record(enclave: Enclave) -> EnclaveRecord:
    return EnclaveRecord(
        id=enclave.id,
        pool=enclave.pool,
        plan=enclave.plan,
        image=enclave.pages.image_identity,
        image_segments=enclave.pages.image_segments,
        mrenclave=enclave.mrenclave,
        mrsigner=enclave.mrsigner,
        size=enclave.size,
        build_us=enclave.build_us,
        created=enclave.created,
    )
