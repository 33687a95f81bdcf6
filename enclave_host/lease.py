"""A lease: the exclusive right of one process to a compartment."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

from enclave_host.channel import LeaseChannel
from enclave_host.enclave import Compartment, Enclave
from enclave_host.process import Process
from enclave_host.providers.base import FileIdentity


class LeaseState(StrEnum):
    HELD = "held"  # by the connection that asked for it
    BOUND = "bound"  # to a process


@dataclass(eq=False, kw_only=True)
class Lease:
    """Mutable state of one lease, changed by the lease manager only."""

    id: int
    compartment: Compartment
    container: str
    process_name: str
    threads: int
    memory: int
    build_us: int = 0
    parent_id: int = 0
    granted: float = field(default_factory=time.time)
    process: Process | None = None
    channel: LeaseChannel | None = None
    channel_file: FileIdentity | None = None  # the mate's end of it

    @property
    def enclave(self) -> Enclave:
        return self.compartment.enclave

    @property
    def pool(self) -> str:
        return self.enclave.pool

    @property
    def state(self) -> LeaseState:
        return LeaseState.HELD if self.process is None else LeaseState.BOUND

    @property
    def pid(self) -> int:
        return 0 if self.process is None else self.process.pid
