"""Keeps as many idle compartments of a pool prepared as its configuration says. Used from the daemon's loop."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from enclave_host.config import PoolConfig
from enclave_host.enclave import Compartment, CompartmentState, Enclave
from enclave_host.preparation import ranges_to_prepare

PAUSE_SECONDS = 0.01  # the container that has just got a compartment goes first
RETRY_SECONDS = 5.0  # after a failure, which is one of memory or descriptors

_log = logging.getLogger(__name__)


class Preparer:
    """One compartment at a time, in a worker thread. `serving`: the enclaves that grant leases."""

    def __init__(self, config: PoolConfig, *, serving: Callable[[], list[Enclave]], workers: Executor) -> None:
        self._name = config.name
        self._wanted = config.prepared
        self._ranges = ranges_to_prepare(config.prepared_memory)
        self._serving = serving
        self._workers = workers
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._overtaken: list[Compartment] = []  # by a lease: what of them is there now is not known

    def wake(self) -> None:
        """Look soon whether there is something to do."""
        if self._wanted:
            self._wake_in(PAUSE_SECONDS)

    def close(self) -> None:
        self._wanted = 0
        if self._timer is not None:
            self._timer.cancel()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None and not self._busy:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._prepare_next)

    def _next(self) -> Compartment | None:
        """Of the fullest enclave, which the pool takes compartments from."""
        enclaves = sorted(self._serving(), key=lambda enclave: enclave.count(CompartmentState.FREE))
        free = [c for enclave in enclaves for c in enclave.compartments if c.state is CompartmentState.FREE]
        self._overtaken = [compartment for compartment in self._overtaken if compartment.enclave in enclaves]
        for compartment in free:
            if compartment in self._overtaken:
                self._overtaken.remove(compartment)
                return compartment
        if sum(compartment.prepared for compartment in free) >= self._wanted:
            return None
        return next((compartment for compartment in free if not compartment.prepared), None)

    def _prepare_next(self) -> None:
        self._timer = None
        compartment = self._next()
        if compartment is None:
            return
        try:
            prepare = compartment.enclave.pages.preparation(compartment.index, self._ranges)
        except OSError as error:
            self._failed(error)
            return
        if prepare is None:
            _log.info("pool %s: pages come on demand only here, so `prepared` has no effect", self._name)
            self._wanted = 0
            return
        self._busy = True
        served = compartment.served
        job = asyncio.get_running_loop().run_in_executor(self._workers, prepare)
        job.add_done_callback(lambda done: self._done(compartment, served, done))

    def _done(self, compartment: Compartment, served: int, job: "asyncio.Future[None]") -> None:
        self._busy = False
        if job.cancelled() or not self._wanted:
            return
        error = job.exception()
        if error is not None:
            self._failed(error)
            return
        # A lease that was granted meanwhile has had what was ready by then.
        compartment.prepared = compartment.state is CompartmentState.FREE and compartment.served == served
        if compartment.served != served and compartment not in self._overtaken:
            self._overtaken.append(compartment)  # once it is free: memory that is there is to be counted
        self._wake_in(0)

    def _failed(self, error: BaseException) -> None:
        _log.warning("pool %s: an idle compartment cannot be prepared: %s; see `prepared` and `prepared_memory`",
                     self._name, error)  # fmt: skip
        self._wake_in(RETRY_SECONDS)
