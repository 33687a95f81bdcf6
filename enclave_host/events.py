"""What happened: a bounded ring of events and those who watch it."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

RING_SIZE = 1024

_log = logging.getLogger(__name__)


class EventType(StrEnum):
    LEASE_GRANTED = "lease.granted"
    LEASE_BOUND = "lease.bound"
    LEASE_ADOPTED = "lease.adopted"
    LEASE_ENDED = "lease.ended"
    COMPARTMENT_SCRUBBED = "compartment.scrubbed"
    COMPARTMENT_RETIRED = "compartment.retired"
    ENCLAVE_READY = "enclave.ready"
    ENCLAVE_FAILED = "enclave.failed"
    ENCLAVE_DESTROYED = "enclave.destroyed"
    POOL_CREATED = "pool.created"
    POOL_RESIZED = "pool.resized"
    POOL_DRAINING = "pool.draining"
    POOL_DELETED = "pool.deleted"
    POOL_EXHAUSTED = "pool.exhausted"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened. Ids are 0 and texts empty where they do not apply."""

    number: int
    time: float
    type: EventType
    pool: str
    enclave_id: int = 0
    compartment: int = 0
    lease_id: int = 0
    container: str = ""
    text: str = ""


Watcher = Callable[[Event], None]


@dataclass
class EventLog:
    """Used from the daemon's loop only."""

    _ring: deque[Event] = field(default_factory=lambda: deque(maxlen=RING_SIZE))
    _watchers: set[Watcher] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def record(
        self,
        kind: EventType,
        *,
        pool: str,
        enclave_id: int = 0,
        compartment: int = 0,
        lease_id: int = 0,
        container: str = "",
        text: str = "",
    ) -> None:
        event = Event(
            number=next(self._numbers),
            time=time.time(),
            type=kind,
            pool=pool,
            enclave_id=enclave_id,
            compartment=compartment,
            lease_id=lease_id,
            container=container,
            text=text,
        )
        self._ring.append(event)
        _log.debug(
            "%s: pool %s, enclave %d, compartment %d, lease %d, container `%s` %s",
            kind, pool, enclave_id, compartment, lease_id, container, text,
        )  # fmt: skip
        for watcher in tuple(self._watchers):
            watcher(event)

    def recent(self) -> tuple[Event, ...]:
        """The ring, oldest first."""
        return tuple(self._ring)

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def watch(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
