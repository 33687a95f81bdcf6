"""Run the main job in a shared enclave and in dedicated ones; print one table; leave nothing behind."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from examples.demo.attach import enclave_ready_ms
from examples.demo.jobs import JOBS
from examples.demo.run import DemoError, VariantResult, check_outputs, run_variant
from examples.demo.table import print_table
from tests.harness.facilities import missing_facilities
from tests.harness.paths import BUILD
from tests.harness.process import HarnessError
from tests.harness.stack import Stack

REFERENCE, SHARED = "runc, no enclave", "shared enclave"
THREADS = 16
# What each conventional enclave is given. Small for such a program: the more, the slower and bigger they get.
HEAP = "128MiB"
READY_ROUNDS = 9

_DEDICATED: dict[str, Any] = {"dedicated": True, "threads": THREADS}
POOLS: dict[str, tuple[str, dict[str, Any]]] = {
    SHARED: (
        "shared",
        {"compartments": len(JOBS), "threads": THREADS, "memory": HEAP, "ready": 1, "maximum": 1},
    ),
    "dedicated, all measured": ("measured", _DEDICATED | {"heap": "measured", "heap_size": HEAP}),
    "dedicated, heap unmeasured": ("unmeasured", _DEDICATED | {"heap": "unmeasured", "heap_size": HEAP}),
    "dedicated, heap on demand": ("on-demand", _DEDICATED | {"heap": "on_demand", "memory": HEAP}),
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_pool(name: str, pool: str, settings: dict[str, Any]) -> VariantResult:
    """A stage of its own for each variant, so that its memory is its own."""
    with Stack(pools={pool: settings}) as stack:
        ready = enclave_ready_ms(stack.hostd, pool=pool, rounds=READY_ROUNDS)
        result = run_variant(stack, name=name, runtime=f"teemate-{pool}", progress=say)
        return dataclasses.replace(result, enclave_ready_ms=ready)


def run_reference() -> VariantResult:
    with Stack(with_hostd=False) as stack:
        return run_variant(stack, name=REFERENCE, runtime="runc", progress=say)


def main() -> int:
    missing = missing_facilities()
    if missing:
        say("demo: missing " + "; ".join(missing))
        return 1
    try:
        results = [run_reference()]
        for name, (pool, settings) in POOLS.items():
            results.append(run_pool(name, pool, settings))
            check_outputs(results[0], results[-1])
    except (DemoError, HarnessError) as error:
        say(f"demo: {error}")
        return 1
    print_table(results, reference=REFERENCE, shared=SHARED)
    say(f"All {len(JOBS) * len(results)} containers printed the same as without an enclave.")
    say("Software model of SGX: the times and sizes are real, the confidentiality is not.")
    path = BUILD / "demo.json"
    figures = [dataclasses.asdict(result) | {"memory_per_container": result.memory_per_container} for result in results]
    path.write_text(json.dumps({"heap": HEAP, "containers": len(JOBS), "variants": figures}, indent=2) + "\n")
    say(f"figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
