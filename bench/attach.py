"""Attaching to a shared enclave against building one for the process."""

from __future__ import annotations

import time
from typing import Any

from bench.figures import Figure, Suite, compare
from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachRequest
from tests.harness.hostd import HostDaemon
from tests.harness.process import HarnessError, wait_until
from tests.harness.stack import Stack

SIZES_MIB = (64, 256, 1024)
HEAPS = ("measured", "unmeasured", "on_demand")
ROUNDS = 7


def _pools() -> dict[str, dict[str, Any]]:
    pools: dict[str, dict[str, Any]] = {"shared": {"compartments": 8, "threads": 16, "ready": 1, "maximum": 1}}
    for size in SIZES_MIB:
        for heap in HEAPS:
            key = "memory" if heap == "on_demand" else "heap_size"
            pools[f"{heap}-{size}"] = {"dedicated": True, "threads": 16, "heap": heap, key: f"{size}MiB"}
    return pools


def ready_us(hostd: HostDaemon, pool: str) -> float:
    """From asking for a lease to holding it, in microseconds."""
    with AttachClient(hostd.run_directory) as client:
        begin = time.perf_counter()
        grant = client.request(AttachRequest(pool=pool, container="bench/attach"))
        elapsed = time.perf_counter() - begin
        grant.close()
    if not wait_until(lambda: not hostd.leases(), seconds=30, every=0.01):
        raise HarnessError("the daemon does not take the lease back")
    return elapsed * 1e6


def run() -> Suite:
    figures: list[Figure] = []
    with Stack(pools=_pools(), with_containers=False) as stack:
        for size in SIZES_MIB:
            for heap in HEAPS:
                pool = f"{heap}-{size}"
                figures.append(
                    compare(
                        f"attach against building {size} MiB, heap {heap.replace('_', ' ')}",
                        unit="us",
                        rounds=ROUNDS,
                        baseline=("enclave of its own", lambda pool=pool: ready_us(stack.hostd, pool)),  # type: ignore[misc]
                        measured=("attach", lambda: ready_us(stack.hostd, "shared")),
                    )
                )
    return Suite(name="attach", title="Attach against building an enclave", figures=figures)
