"""All pools: those of the configuration file, and those made at run time, which the journal keeps."""

import logging
from collections.abc import Callable
from dataclasses import fields

from enclave_host.blueprint import EnclaveLayout
from enclave_host.config import Config, Heap, PoolConfig, parse_pool
from enclave_host.enclave import CompartmentState
from enclave_host.errors import BusyError, ExistsError, HostError, NotFoundError
from enclave_host.events import EventLog, EventType
from enclave_host.journal import Journal
from enclave_host.pool import Pool

_log = logging.getLogger(__name__)


class PoolRegistry:
    """Creates, changes and deletes pools. `make_pool` gives a pool its builder, workers and so on."""

    def __init__(self, *, journal: Journal, events: EventLog, make_pool: Callable[[PoolConfig], Pool]) -> None:
        self.pools: dict[str, Pool] = {}
        self._configured: frozenset[str] = frozenset()
        self._journal = journal
        self._events = events
        self._make_pool = make_pool

    def load(self, config: Config) -> None:
        """The configuration's pools, the journal's, and a draining one for each enclave whose pool is gone."""
        self._configured = frozenset(config.pools)
        for pool_config in config.pools.values():
            self._add(pool_config)
        for name, settings in list(self._journal.pools.items()):
            self._restore(name, settings)
        for record in self._journal.enclaves.values():
            if record.pool not in self.pools:
                self._add(_gone_pool(record.pool, record.plan)).draining = True

    def get(self, name: str) -> Pool:
        """Raises NotFoundError, naming those there are."""
        pool = self.pools.get(name)
        if pool is None:
            known = ", ".join(sorted(self.pools)) or "none"
            raise NotFoundError(
                f"no pool `{name}` (there are: {known}); add it to `pools` of the daemon's configuration, or create it"
            )
        return pool

    def is_configured(self, name: str) -> bool:
        return name in self._configured

    def create(self, name: str, settings: dict[str, object]) -> Pool:
        """A pool for as long as nobody deletes it. `settings` as in the configuration file."""
        if name in self.pools:
            raise ExistsError(f"there is a pool `{name}` already; choose another name, or delete that one")
        pool = self._add(parse_pool(name, settings))
        self._journal.add_pool(name, settings)
        self._events.record(EventType.POOL_CREATED, pool=name)
        pool.start()
        return pool

    def resize(self, name: str, *, ready: int | None, maximum: int | None) -> Pool:
        """Change how many enclaves are kept ready, and how many there may be."""
        pool = self.get(name)
        changed = {"ready": ready, "maximum": maximum}
        settings = _settings_of(pool.config) | {key: value for key, value in changed.items() if value is not None}
        checked = parse_pool(name, settings)
        pool.resize(ready=checked.ready, maximum=checked.maximum)
        self._keep(pool)
        return pool

    def drain(self, name: str) -> Pool:
        """Grant no new lease of the pool."""
        pool = self.get(name)
        pool.drain()
        self._keep(pool)
        return pool

    def delete(self, name: str) -> None:
        """Raises BusyError while there are leases, and for a pool of the configuration file."""
        pool = self.get(name)
        if self.is_configured(name):
            raise BusyError(
                f"pool `{name}` is in the daemon's configuration: remove it there and restart the daemon, or drain it"
            )
        leased = pool.count(CompartmentState.LEASED)
        if leased:
            raise BusyError(f"pool `{name}` has {leased} leases; drain it and end its containers first")
        pool.drain()
        for enclave in list(pool.enclaves.values()):
            pool.destroy(enclave)
        del self.pools[name]
        self._journal.remove_pool(name)
        self._events.record(EventType.POOL_DELETED, pool=name)

    def _add(self, config: PoolConfig) -> Pool:
        pool = self._make_pool(config)
        self.pools[config.name] = pool
        return pool

    def _keep(self, pool: Pool) -> None:
        if pool.name in self._journal.pools:
            self._journal.add_pool(pool.name, _settings_of(pool.config) | {"draining": pool.draining})

    def _restore(self, name: str, settings: dict[str, object]) -> None:
        if name in self.pools:
            _log.warning("pool %s was made at run time and is now in the configuration, which counts", name)
            self._journal.remove_pool(name)
            return
        settings = dict(settings)
        draining = bool(settings.pop("draining", False))
        try:
            self._add(parse_pool(name, settings)).draining = draining
        except HostError as error:
            _log.error("pool %s of the journal is ignored: %s", name, error)


def _settings_of(config: PoolConfig) -> dict[str, object]:
    """As they would stand in a configuration file."""
    settings: dict[str, object] = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    del settings["name"]
    settings["heap"] = config.heap.value
    if config.heap is Heap.ON_DEMAND:
        del settings["heap_size"]
    return settings


def _gone_pool(name: str, plan: EnclaveLayout) -> PoolConfig:
    """Stands for a pool whose containers have outlived its configuration."""
    return PoolConfig(
        name=name, trust_domain=name, compartments=plan.compartments, threads=plan.threads, heap=plan.heap, ready=0
    )
