"""Keeps as many idle compartments of a pool prepared as its configuration says. Used from the daemon's loop.

A prepared compartment has the memory that the start of any program touches: who allocates and zeroes those pages is
then the daemon's janitor, beforehand, and not the container that starts. Where they are the LibOS draws, when the
janitor enters the compartment for it. It does no harm if the compartment is leased meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable

from enclave_host.config import PoolConfig
from enclave_host.enclave import Compartment, CompartmentState, Enclave
from enclave_host.janitor import Janitor, JobDone
from enclave_host.lending import Lender

PAUSE_SECONDS = 0.01  # the container that has just got a compartment goes first
RETRY_SECONDS = 5.0  # after a failure, which is one of memory or descriptors

# Prepares a free compartment; raises OSError when it cannot even be asked for.
Prepare = Callable[[PoolConfig, Compartment, JobDone], None]

_log = logging.getLogger(__name__)


def preparing(*, janitor: Janitor, lender: Lender) -> Prepare:
    """By the janitor, which is lent the compartment for it."""

    def prepare(pool: PoolConfig, compartment: Compartment, done: JobDone) -> None:
        threads = compartment.enclave.plan.threads
        descriptors = lender.lend(compartment, pool, lease_id=0, threads=threads, memory=pool.memory)
        janitor.prepare(descriptors, pool.prepared_memory, done)

    return prepare


class Preparer:
    """One compartment at a time. `serving`: the enclaves that grant leases."""

    def __init__(self, config: PoolConfig, *, serving: Callable[[], list[Enclave]], prepare: Prepare) -> None:
        self._config = config
        self._wanted = config.prepared
        self._serving = serving
        self._prepare = prepare
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False

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
        if sum(compartment.prepared for compartment in free) >= self._wanted:
            return None
        return next((compartment for compartment in free if not compartment.prepared), None)

    def _prepare_next(self) -> None:
        self._timer = None
        compartment = self._next()
        if compartment is None:
            return
        if not compartment.enclave.pages.can_be_prepared:
            _log.info("pool %s: pages come on demand only here, so `prepared` has no effect", self._config.name)
            self._wanted = 0
            return
        served = compartment.served
        self._busy = True
        try:
            self._prepare(self._config, compartment, lambda size, reason: self._done(compartment, served, size, reason))
        except OSError as error:
            self._busy = False
            self._failed(str(error))

    def _done(self, compartment: Compartment, served: int, size: int | None, reason: str) -> None:
        self._busy = False
        if not self._wanted:
            return
        if size is None:
            self._failed(reason)
            return
        # A lease that was granted meanwhile has had what was ready by then.
        if compartment.state is CompartmentState.FREE and compartment.served == served:
            compartment.prepared_memory = size
        self._wake_in(0)

    def _failed(self, reason: str) -> None:
        _log.warning("pool %s: an idle compartment cannot be prepared: %s; see `prepared` and `prepared_memory`",
                     self._config.name, reason)  # fmt: skip
        self._wake_in(RETRY_SECONDS)
