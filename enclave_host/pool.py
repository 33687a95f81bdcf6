"""A pool: enclaves of one layout for one trust domain, kept ready; and the queue of those who wait for one.

Everything here runs in the daemon's loop, except the building itself, which a worker thread does.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from enclave_host.blueprint import EnclaveLayout
from enclave_host.builder import BuiltEnclave, EnclaveBuilder
from enclave_host.config import PoolConfig, format_size
from enclave_host.enclave import Compartment, CompartmentState, Enclave
from enclave_host.errors import BusyError, ExhaustedError, HostError
from enclave_host.events import EventLog, EventType
from enclave_host.preparer import Prepare, Preparer

IDLE_ENCLAVE_SECONDS = 30.0  # how long an unused enclave beyond `ready` is kept
REBUILD_SECONDS = 5.0  # pause after a failed build
COMING_SECONDS = 10.0  # how long to wait for a compartment that is being built or scrubbed

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Waiter:
    """Somebody who wants a compartment. Exactly one of the two functions is called, unless it is cancelled."""

    on_placed: Callable[[Compartment], None]
    on_failed: Callable[[HostError], None]
    timer: asyncio.TimerHandle | None = None


class Pool:
    """`holders` names the containers that hold compartments, for messages."""

    def __init__(
        self,
        config: PoolConfig,
        *,
        builder: EnclaveBuilder,
        workers: Executor,
        events: EventLog,
        next_enclave_id: Callable[[], int],
        holders: Callable[[str], list[str]],
        prepare: Prepare,
    ) -> None:
        self.config = config
        self.plan = EnclaveLayout.of_pool(config)
        self.enclaves: dict[int, Enclave] = {}
        self.draining = False
        self.building = 0
        self.retired = 0
        self._builder = builder
        self._workers = workers
        self._events = events
        self._next_enclave_id = next_enclave_id
        self._holders = holders
        self._preparer = Preparer(config, serving=self._serving, prepare=prepare)
        self._waiters: deque[Waiter] = deque()
        self._build_after = 0.0
        self._closed = False
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @property
    def prepared(self) -> int:
        """Idle compartments whose start finds its memory."""
        return sum(compartment.prepared for enclave in self._serving() for compartment in enclave.compartments)

    @property
    def prepared_memory(self) -> int:
        """Bytes that they were prepared with."""
        return sum(compartment.prepared_memory for enclave in self._serving() for compartment in enclave.compartments)

    def count(self, state: CompartmentState) -> int:
        return sum(enclave.count(state) for enclave in self.enclaves.values())

    def start(self) -> None:
        """Measure and sign at once, so that not even a dedicated pool's first request waits for it; then build."""
        preparation = asyncio.get_running_loop().run_in_executor(self._workers, self._builder.prepare, self.plan)
        preparation.add_done_callback(self._prepared)
        self.maintain()

    def acquire(self, waiter: Waiter, *, wait_seconds: float = 0.0, near: Enclave | None = None) -> None:
        """Place the waiter: at once, or when a compartment comes, or never (on_failed). Marks it leased."""
        if self.draining:
            waiter.on_failed(BusyError(f"pool `{self.name}` is draining and grants no new lease"))
            return
        compartment = self._free_compartment(near)
        if compartment is not None:
            self._place(waiter, compartment)
            self.maintain()
            return
        if wait_seconds <= 0 and not self._coming():
            error = self._exhausted()
            self._events.record(EventType.POOL_EXHAUSTED, pool=self.name, text=str(error))
            waiter.on_failed(error)
            return
        self._waiters.append(waiter)
        if wait_seconds > 0:
            self._await(waiter, wait_seconds, patient=False)
        else:
            self._await(waiter, COMING_SECONDS, patient=True)
        self.maintain()

    def cancel(self, waiter: Waiter) -> None:
        """Forget a waiter that has not been placed."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.timer is not None:
            waiter.timer.cancel()

    def freed(self, compartment: Compartment) -> None:
        """The compartment has been scrubbed."""
        compartment.state = CompartmentState.FREE
        self._serve()
        self.maintain()
        self._watch_idle()

    def retire(self, compartment: Compartment, reason: str) -> None:
        """The compartment could not be recovered: it is never leased again."""
        compartment.state = CompartmentState.RETIRED
        self.retired += 1
        _log.warning("pool %s: retired compartment %d of enclave %d: %s", self.name, compartment.index,
                     compartment.enclave.id, reason)  # fmt: skip
        self._events.record(
            EventType.COMPARTMENT_RETIRED,
            pool=self.name,
            enclave_id=compartment.enclave.id,
            compartment=compartment.index,
            text=reason,
        )
        if compartment.enclave.count(CompartmentState.RETIRED) == len(compartment.enclave.compartments):
            self.destroy(compartment.enclave)
        self.maintain()

    def adopt(self, enclave: Enclave) -> None:
        """An enclave of an earlier daemon: it lives as long as its leases."""
        enclave.draining = True
        self.enclaves[enclave.id] = enclave

    def resize(self, *, ready: int | None, maximum: int | None) -> None:
        """Change how many enclaves are kept. Those in use stay."""
        self.config = replace(
            self.config,
            ready=self.config.ready if ready is None else ready,
            maximum=self.config.maximum if maximum is None else maximum,
        )
        self._events.record(EventType.POOL_RESIZED, pool=self.name,
                            text=f"ready {self.config.ready}, maximum {self.config.maximum}")  # fmt: skip
        self._serve()
        self.maintain()
        self._remove_idle()

    def drain(self) -> None:
        """Grant no new lease; enclaves go with their last one."""
        self.draining = True
        self._events.record(EventType.POOL_DRAINING, pool=self.name)
        while self._waiters:
            self._fail(self._waiters.popleft(), BusyError(f"pool `{self.name}` is draining"))
        for enclave in list(self.enclaves.values()):
            enclave.draining = True
            self.destroy_if_done(enclave)

    def close(self) -> None:
        """Forget everything without a word: the daemon stops. Containers keep what they map."""
        self._closed = True
        self._preparer.close()
        while self._waiters:
            self._fail(self._waiters.popleft(), BusyError("the daemon is stopping"))
        for enclave in self.enclaves.values():
            enclave.pages.close()
        self.enclaves.clear()

    def destroy_if_done(self, enclave: Enclave) -> None:
        """A draining enclave goes with its last lease."""
        if enclave.draining and enclave.is_unused:
            self.destroy(enclave)

    def destroy(self, enclave: Enclave) -> None:
        if self.enclaves.pop(enclave.id, None) is None:
            return
        enclave.pages.close()
        self._events.record(EventType.ENCLAVE_DESTROYED, pool=self.name, enclave_id=enclave.id)

    def maintain(self) -> None:
        """Start the builds that `ready` and the queue call for, as far as `maximum` allows; prepare what is idle."""
        if self.draining or self._closed:
            return
        self._preparer.wake()
        loop = asyncio.get_running_loop()
        if loop.time() < self._build_after:
            return
        for _ in range(self._builds_wanted()):
            self.building += 1
            build = loop.run_in_executor(self._workers, self._builder.build, self.plan)
            build.add_done_callback(self._built)

    def _serving(self) -> list[Enclave]:
        return [enclave for enclave in self.enclaves.values() if not enclave.draining]

    def _builds_wanted(self) -> int:
        serving = self._serving()
        ready = sum(1 for enclave in serving if enclave.free_compartment())
        for_ready = self.config.ready - ready - self.building
        recovering = sum(enclave.count(CompartmentState.RECOVERING) for enclave in serving)
        unserved = len(self._waiters) - recovering
        for_waiters = -(-unserved // self.config.compartments) - self.building
        return max(0, min(max(for_ready, for_waiters), self._room()))

    def _room(self) -> int:
        return self.config.maximum - len(self._serving()) - self.building

    def _coming(self) -> bool:
        """Will a compartment come by itself, beyond those that the queue will take?"""
        recovering = sum(enclave.count(CompartmentState.RECOVERING) for enclave in self._serving())
        enclaves = self.building + max(0, self._room())
        return recovering + enclaves * self.config.compartments > len(self._waiters)

    def _free_compartment(self, near: Enclave | None) -> Compartment | None:
        """In the enclave asked for, else in the fullest one: so that idle enclaves can go."""
        candidates = [enclave for enclave in self._serving() if enclave.free_compartment()]
        if not candidates:
            return None
        best = near if near in candidates else min(candidates, key=lambda e: e.count(CompartmentState.FREE))
        return best.free_compartment() if best is not None else None

    def _place(self, waiter: Waiter, compartment: Compartment) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        compartment.state = CompartmentState.LEASED
        compartment.served += 1
        compartment.prepared_memory = 0
        waiter.on_placed(compartment)

    def _serve(self) -> None:
        while self._waiters and not self.draining:
            compartment = self._free_compartment(None)
            if compartment is None:
                return
            self._place(self._waiters.popleft(), compartment)

    def _await(self, waiter: Waiter, seconds: float, *, patient: bool) -> None:
        """Give up after so long; a patient waiter goes on while enclaves are being built."""
        loop = asyncio.get_running_loop()
        waiter.timer = loop.call_later(seconds, lambda: self._expire(waiter, patient=patient))

    def _expire(self, waiter: Waiter, *, patient: bool) -> None:
        if patient and self.building:
            self._await(waiter, COMING_SECONDS, patient=True)
            return
        self._waiters.remove(waiter)
        waiter.timer = None
        waiter.on_failed(self._exhausted())

    def _fail(self, waiter: Waiter, error: HostError) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        waiter.on_failed(error)

    def _exhausted(self) -> ExhaustedError:
        holders = self._holders(self.name)
        shown = ", ".join(holders[:3]) + (f" and {len(holders) - 3} more" if len(holders) > 3 else "")
        setting = f"pools.{self.name}.maximum (now {self.config.maximum})"
        if not self.config.dedicated:
            setting += f" or pools.{self.name}.compartments (now {self.config.compartments})"
        return ExhaustedError(
            f"pool `{self.name}` is exhausted: all {self.config.maximum * self.config.compartments} compartments "
            f"({self.config.maximum} enclaves of {self.config.compartments}) are in use"
            f"{', held by ' + shown if shown else ''}; end some containers or raise {setting}"
        )

    def _prepared(self, preparation: "asyncio.Future[Any]") -> None:
        if not preparation.cancelled() and preparation.exception() is not None:
            _log.error("pool %s: its enclaves cannot be measured and signed: %s", self.name, preparation.exception())

    def _built(self, build: "asyncio.Future[BuiltEnclave]") -> None:
        self.building -= 1
        if build.cancelled():
            return
        error = build.exception()
        if error is not None:
            self._build_failed(error)
            return
        built = build.result()
        if self._closed or self.draining:
            built.pages.close()
            return
        enclave = Enclave(
            id=self._next_enclave_id(),
            pool=self.name,
            plan=self.plan,
            pages=built.pages,
            mrenclave=built.identity.mrenclave.hex(),
            mrsigner=built.identity.mrsigner.hex(),
            size=built.enclave_size,
            build_us=round(built.build_seconds * 1e6),
        )
        self.enclaves[enclave.id] = enclave
        _log.info("pool %s: enclave %d ready in %.1f ms, %s", self.name, enclave.id, built.build_seconds * 1e3,
                  format_size(enclave.memory()))  # fmt: skip
        self._events.record(EventType.ENCLAVE_READY, pool=self.name, enclave_id=enclave.id)
        self._serve()
        if self.config.dedicated and enclave.is_unused:
            self.destroy(enclave)  # who asked for it has left meanwhile
        self.maintain()
        self._watch_idle()

    def _build_failed(self, error: BaseException) -> None:
        _log.error("pool %s: building an enclave failed: %s", self.name, error)
        self._events.record(EventType.ENCLAVE_FAILED, pool=self.name, text=str(error))
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        self._build_after = loop.time() + REBUILD_SECONDS
        loop.call_later(REBUILD_SECONDS, self.maintain)
        if not self.building:
            while self._waiters:
                self._fail(
                    self._waiters.popleft(), HostError(f"pool `{self.name}`: building an enclave failed: {error}")
                )

    def _watch_idle(self) -> None:
        if self._idle_timer is None and self._surplus():
            self._idle_timer = asyncio.get_running_loop().call_later(IDLE_ENCLAVE_SECONDS, self._remove_idle)

    def _surplus(self) -> list[Enclave]:
        """Unused enclaves that `ready` does not call for, youngest first."""
        serving = self._serving()
        with_free = sum(1 for enclave in serving if enclave.free_compartment())
        count = max(with_free - self.config.ready, len(serving) - self.config.maximum)
        unused = sorted((enclave for enclave in serving if enclave.is_unused), key=lambda enclave: -enclave.id)
        return unused[: max(count, 0)]

    def _remove_idle(self) -> None:
        self._idle_timer = None
        if not self._closed and not self._waiters:
            for enclave in self._surplus():
                self.destroy(enclave)
