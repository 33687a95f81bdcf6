"""What tests of leases ask the daemon for, and wait for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enclave_host.attach_client import Grant
from enclave_host.attach_protocol import AttachRequest
from enclave_host.lease_grant import LeaseGrant
from tests.unit.fake_host import RunningDaemon

POOLS: dict[str, dict[str, object]] = {
    "small": {"compartments": 2, "threads": 2, "maximum": 1, "memory": "64MiB"},
    "crash": {"compartments": 2, "threads": 1, "maximum": 1},
    "refuse": {"compartments": 2, "threads": 1, "maximum": 1},
    "own": {"dedicated": True, "threads": 2, "maximum": 2},
    "shared": {"compartments": 6, "threads": 1, "maximum": 1, "processes": 3},
}


@contextmanager
def running_host(directory: Path) -> Iterator[RunningDaemon]:
    """A daemon with POOLS, built."""
    with RunningDaemon(directory, POOLS) as running:
        for name, settings in POOLS.items():
            if count := settings.get("compartments"):
                assert isinstance(count, int)
                wait_for_states(running, name, ["free"] * count)
        yield running


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(pool: str = "small", container: str = "ns/one", **more: object) -> AttachRequest:
    return AttachRequest(pool=pool, container=container, **more)  # type: ignore[arg-type]


def read_grant(grant: Grant) -> LeaseGrant:
    return LeaseGrant.unpack(os.pread(grant.descriptors[0], 4096, 0))


def wait_for_states(host: RunningDaemon, pool: str, states: list[str]) -> None:
    host.wait_until(
        lambda daemon: (
            [
                c.state.value
                for _, enclave in sorted(daemon.pools.get(pool).enclaves.items())
                for c in enclave.compartments
            ]
            == states
        )
    )
