"""What happens to a compartment between two leases: it is let go, scrubbed by the LibOS, let go again, and free."""

import asyncio
from collections.abc import Callable

from enclave_host.enclave import Compartment, CompartmentState
from enclave_host.events import EventLog, EventType
from enclave_host.janitor import Janitor
from enclave_host.lending import Lender
from enclave_host.pool import Pool

# After a process has ended others may still map its compartment for a moment: a vfork child, or a reader of
# its /proc files.
HELD_CHECKS_SECONDS = (0.001, 0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0)
LEND_ATTEMPTS = 30
LEND_RETRY_SECONDS = 1.0


class Recovery:
    """Recovers compartments in the daemon's loop."""

    def __init__(self, *, janitor: Janitor, lender: Lender, events: EventLog) -> None:
        self._janitor = janitor
        self._lender = lender
        self._events = events

    def recover(self, pool: Pool, compartment: Compartment) -> None:
        """Make the compartment fit for another lease, or retire it."""
        if compartment.enclave.draining or pool.config.dedicated:
            self._drop(pool, compartment)
            return
        compartment.state = CompartmentState.RECOVERING
        self._when_released(pool, compartment, lambda: self._scrub(pool, compartment))

    def _drop(self, pool: Pool, compartment: Compartment) -> None:
        """Nobody will have it again: its pages go with the enclave."""
        compartment.state = CompartmentState.RETIRED
        if compartment.enclave.is_unused:
            pool.destroy(compartment.enclave)
            pool.maintain()

    def _when_released(self, pool: Pool, compartment: Compartment, then: Callable[[], None], checks: int = 0) -> None:
        """Call `then` when nobody outside the daemon maps the compartment; retire it if that never comes."""
        if compartment.enclave.id not in pool.enclaves:
            return  # destroyed meanwhile
        if not compartment.enclave.pages.is_held(compartment.index):
            then()
        elif checks == len(HELD_CHECKS_SECONDS):
            pool.retire(compartment, "another process still maps it long after its lease's end")
        else:
            delay = HELD_CHECKS_SECONDS[checks]
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._when_released, pool, compartment, then, checks + 1)

    def _scrub(self, pool: Pool, compartment: Compartment, attempts: int = LEND_ATTEMPTS) -> None:
        def done(pages: int | None, reason: str) -> None:
            if compartment.enclave.id not in pool.enclaves:
                return  # destroyed meanwhile
            if pages is None:
                pool.retire(compartment, reason)
                return
            self._events.record(
                EventType.COMPARTMENT_SCRUBBED,
                pool=pool.name,
                enclave_id=compartment.enclave.id,
                compartment=compartment.index,
                text=f"{pages} pages",
            )
            # The janitor, too, must have let go.
            self._when_released(pool, compartment, lambda: self._free(pool, compartment))

        if compartment.enclave.id not in pool.enclaves:
            return  # destroyed meanwhile
        threads = compartment.enclave.plan.threads
        try:
            descriptors = self._lender.lend(
                compartment, pool.config, lease_id=0, threads=threads, memory=pool.config.memory
            )
        except OSError as error:
            if attempts == 1:
                pool.retire(compartment, f"it cannot be lent to the janitor: {error}")
            else:  # out of descriptors or memory: that may pass
                loop = asyncio.get_running_loop()
                loop.call_later(LEND_RETRY_SECONDS, self._scrub, pool, compartment, attempts - 1)
            return
        self._janitor.scrub(descriptors, done)

    def _free(self, pool: Pool, compartment: Compartment) -> None:
        if compartment.enclave.draining:
            self._drop(pool, compartment)
        else:
            pool.freed(compartment)
