"""Pools keep enclaves ready, within their limits, and pack leases. Built by a builder that only counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from enclave_host import pool as pool_module
from enclave_host.blueprint import EnclaveLayout
from enclave_host.builder import BuiltEnclave
from enclave_host.config import PoolConfig, parse_pool
from enclave_host.enclave import Compartment, CompartmentState
from enclave_host.errors import HostError
from enclave_host.events import EventLog
from enclave_host.janitor import JobDone
from enclave_host.pool import Pool, Waiter
from enclave_host.sigstruct import Identity
from tests.harness.patience import PATIENCE

PREPARED_SIZE = 1 << 20


@dataclass
class CountedPages:
    builder: CountingBuilder

    @property
    def can_be_prepared(self) -> bool:
        return self.builder.preparable

    def compartment_memory(self, index: int) -> int:
        return 0

    def image_memory(self) -> int:
        return 0

    def close(self) -> None:
        self.builder.closed += 1


@dataclass
class CountingBuilder:
    built: int = 0
    closed: int = 0
    failing: bool = False
    prepared: list[int] = field(default_factory=list)
    preparable: bool = True
    hold: bool = False
    held: list[JobDone] = field(default_factory=list)  # whom to answer

    def prepare(self, plan: EnclaveLayout) -> None:
        pass

    def prepare_compartment(self, config: PoolConfig, compartment: Compartment, done: JobDone) -> None:
        self.prepared.append(compartment.index)
        if self.hold:
            self.held.append(done)
        else:
            asyncio.get_running_loop().call_soon(done, PREPARED_SIZE, "")

    def build(self, plan: EnclaveLayout) -> BuiltEnclave:
        if self.failing:
            raise OSError(12, "Cannot allocate memory")
        self.built += 1
        identity = Identity(mrenclave=bytes(32), mrsigner=bytes(32))
        return BuiltEnclave(CountedPages(self), identity, enclave_size=1 << 34, build_seconds=0.001)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A pool, and what became of those who asked it."""

    pool: Pool
    builder: CountingBuilder
    placed: list[Compartment] = field(default_factory=list)
    failed: list[HostError] = field(default_factory=list)

    def ask(self, *, wait: float = 0.0) -> Waiter:
        waiter = Waiter(self.placed.append, self.failed.append)
        self.pool.acquire(waiter, wait_seconds=wait)
        return waiter

    async def quiet(self) -> None:
        """Let the builds that are under way end."""
        while self.pool.building:
            await asyncio.sleep(0.001)

    def held(self) -> list[tuple[int, int]]:
        return [(compartment.enclave.id, compartment.index) for compartment in self.placed]


def run(
    test: Callable[[Bench], Awaitable[None]], *, hold: bool = False, preparable: bool = True, **settings: object
) -> None:
    async def body() -> None:
        builder = CountingBuilder(hold=hold, preparable=preparable)
        numbers = iter(range(1, 1000))
        with ThreadPoolExecutor(1) as workers:
            pool = Pool(
                parse_pool("p", settings),
                builder=builder,  # type: ignore[arg-type]
                workers=workers,
                events=EventLog(),
                next_enclave_id=lambda: next(numbers),
                holders=lambda _: ["ns/a", "ns/b", "ns/c", "ns/d"],
                prepare=builder.prepare_compartment,
            )
            pool.start()
            bench = Bench(pool, builder)
            await bench.quiet()
            await test(bench)
            pool.close()
            assert builder.built == builder.closed

    asyncio.run(body())


def test_keeps_ready_and_refills_when_an_enclave_is_full() -> None:
    async def test(bench: Bench) -> None:
        assert bench.builder.built == 1
        bench.ask()
        await bench.quiet()
        assert bench.builder.built == 1
        bench.ask()
        await bench.quiet()
        assert bench.builder.built == 2
        assert bench.held() == [(1, 0), (1, 1)]

    run(test, compartments=2, ready=1, maximum=3)


def test_packs_the_fullest_enclave() -> None:
    async def test(bench: Bench) -> None:
        assert bench.builder.built == 2
        for _ in range(3):
            bench.ask()
        assert len({enclave for enclave, _ in bench.held()}) == 1

    run(test, compartments=3, ready=2, maximum=2)


def test_lazily_built_pool_serves_a_burst_and_stops_at_its_maximum() -> None:
    async def test(bench: Bench) -> None:
        assert bench.builder.built == 0
        for _ in range(5):
            bench.ask()
        await bench.quiet()
        assert (bench.builder.built, len(bench.placed)) == (2, 4)
        assert len(set(bench.held())) == 4
        (error,) = bench.failed
        assert "pool `p` is exhausted" in str(error) and "ns/a, ns/b, ns/c and 1 more" in str(error)

    run(test, compartments=2, ready=0, maximum=2)


def test_freed_compartment_serves_who_waits_longest() -> None:
    async def test(bench: Bench) -> None:
        bench.ask()
        first, second = bench.ask(wait=60), bench.ask(wait=60)
        bench.pool.cancel(first)
        third = bench.ask(wait=60)
        (held,) = bench.placed
        held.state = CompartmentState.RECOVERING
        bench.pool.freed(held)
        assert len(bench.placed) == 2 and held.state is CompartmentState.LEASED
        assert bench.pool.waiting == 1
        bench.pool.cancel(second)
        bench.pool.cancel(third)
        assert bench.pool.waiting == 0 and not bench.failed

    run(test, compartments=1, ready=1, maximum=1)


def test_compartment_that_is_being_scrubbed_is_waited_for_without_being_asked_to() -> None:
    async def test(bench: Bench) -> None:
        bench.ask()
        (held,) = bench.placed
        held.state = CompartmentState.RECOVERING
        bench.ask()
        bench.ask()
        assert (bench.pool.waiting, len(bench.failed)) == (1, 1)
        bench.pool.freed(held)
        assert len(bench.placed) == 2

    run(test, compartments=1, ready=1, maximum=1)


def test_waiting_is_limited() -> None:
    async def test(bench: Bench) -> None:
        bench.ask()
        bench.ask(wait=0.01)
        while not bench.failed:
            await asyncio.sleep(0.005)
        assert bench.pool.waiting == 0

    run(test, compartments=1, ready=1, maximum=1)


def test_failed_build_fails_those_who_wait_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "REBUILD_SECONDS", 0.02)

    async def test(bench: Bench) -> None:
        bench.builder.failing = True
        bench.ask()
        await bench.quiet()
        assert "Cannot allocate memory" in str(bench.failed[0])
        bench.builder.failing = False
        bench.ask()
        while not bench.placed:
            await asyncio.sleep(0.005)

    run(test, compartments=1, ready=0, maximum=1)


def test_surplus_enclaves_go_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "IDLE_ENCLAVE_SECONDS", 0.02)

    async def test(bench: Bench) -> None:
        for _ in range(3):
            bench.ask()
        await bench.quiet()
        assert len(bench.pool.enclaves) == 4
        for compartment in bench.placed:
            compartment.state = CompartmentState.RECOVERING
            bench.pool.freed(compartment)
        while len(bench.pool.enclaves) > 1:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert len(bench.pool.enclaves) == 1

    run(test, compartments=1, ready=1, maximum=4)


def test_resize_builds_and_destroys() -> None:
    async def test(bench: Bench) -> None:
        bench.pool.resize(ready=3, maximum=None)
        await bench.quiet()
        assert len(bench.pool.enclaves) == 3
        bench.pool.resize(ready=0, maximum=1)
        assert len(bench.pool.enclaves) == 0

    run(test, compartments=1, ready=1, maximum=4)


def test_drained_pool_ends_the_queue() -> None:
    async def test(bench: Bench) -> None:
        bench.ask()
        bench.ask(wait=60)
        bench.pool.drain()
        bench.ask()
        assert ["is draining" in str(error) for error in bench.failed] == [True, True]
        assert len(bench.pool.enclaves) == 1

    run(test, compartments=1, ready=1, maximum=1)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def test_keeps_idle_compartments_prepared_and_leases_them_first() -> None:
    async def test(bench: Bench) -> None:
        await _until(lambda: bench.pool.prepared == 2)
        assert bench.builder.prepared == [0, 1]
        bench.ask()
        bench.ask()
        assert bench.held() == [(1, 0), (1, 1)] and not bench.pool.prepared
        await _until(lambda: bench.pool.prepared == 2)
        assert bench.builder.prepared == [0, 1, 2, 3]
        bench.pool.freed(bench.placed[0])  # scrubbed, so prepared no more
        bench.ask()
        assert bench.held()[2] == (1, 2)

    run(test, compartments=6, prepared=2, maximum=1)


def test_prepares_no_more_than_there_is() -> None:
    async def test(bench: Bench) -> None:
        await _until(lambda: bench.pool.prepared == 1)
        bench.ask()
        await _until(lambda: bench.pool.prepared == 0)
        bench.pool.freed(bench.placed[0])
        await _until(lambda: bench.pool.prepared == 1)
        assert bench.builder.prepared == [0, 0]

    run(test, compartments=1, prepared=4, maximum=1)


def test_a_lease_granted_while_a_compartment_is_prepared_does_not_find_it_so() -> None:
    async def test(bench: Bench) -> None:
        held = bench.builder.held
        await _until(lambda: len(held) == 1)
        bench.ask()
        bench.pool.freed(bench.placed[0])
        held[0](PREPARED_SIZE, "")
        await _until(lambda: len(held) == 2)  # it is taken up again
        assert not bench.pool.prepared and not bench.pool.prepared_memory
        held[1](PREPARED_SIZE, "")
        assert (bench.pool.prepared, bench.pool.prepared_memory) == (1, PREPARED_SIZE)

    run(test, hold=True, compartments=1, prepared=1, maximum=1)


def test_what_has_no_way_to_be_prepared_is_left_alone() -> None:
    async def test(bench: Bench) -> None:
        await _until(lambda: not bench.pool._preparer._wanted)
        assert not bench.builder.prepared

    run(test, preparable=False, compartments=2, prepared=1, maximum=1)
