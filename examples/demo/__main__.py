"""Run the main job in a shared enclave and in dedicated ones; print one table; leave nothing behind."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import ExitStack
from typing import Any

from examples.demo.attach import enclave_ready_ms
from examples.demo.jobs import JOBS
from examples.demo.run import DemoError, Variant, VariantResult, check_outputs, hold_jobs, time_jobs
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


def run_all(stages: ExitStack) -> list[VariantResult]:
    stack = stages.enter_context(Stack(with_hostd=False))
    variants = [Variant(name=REFERENCE, runtime="runc", pool=None, stack=stack)]
    for name, (pool, settings) in POOLS.items():
        stack = stages.enter_context(Stack(pools={pool: settings}))
        variants.append(Variant(name=name, runtime=f"teemate-{pool}", pool=pool, stack=stack))
    for variant in variants:
        say(f"images: {variant.name}")
        for image in sorted({job.image for job in JOBS}):
            variant.stack.docker_image(image)
    timed = time_jobs(variants, progress=say)
    results = []
    for variant in variants:
        seen, holdings = hold_jobs(variant, progress=say)
        for jobs in (timed[variant.name], seen):
            check_outputs(variant.name, timed[REFERENCE], jobs)
        ready = enclave_ready_ms(variant.stack.hostd, pool=variant.pool, rounds=READY_ROUNDS) if variant.pool else []
        results.append(
            VariantResult(name=variant.name, jobs=timed[variant.name], holdings=holdings, enclave_ready_ms=ready)
        )
    return results


def main() -> int:
    missing = missing_facilities()
    if missing:
        say("demo: missing " + "; ".join(missing))
        return 1
    try:
        with ExitStack() as stages:
            results = run_all(stages)
    except (DemoError, HarnessError) as error:
        say(f"demo: {error}")
        return 1
    print_table(results, reference=REFERENCE, shared=SHARED)
    say(f"All {2 * len(JOBS) * len(results)} containers printed the same as without an enclave.")
    say("Software model of SGX: the times and sizes are real, the confidentiality is not.")
    path = BUILD / "demo.json"
    figures = [
        dataclasses.asdict(result) | {"memory_per_container": result.holdings.memory_per_container}
        for result in results
    ]
    path.write_text(json.dumps({"heap": HEAP, "containers": len(JOBS), "variants": figures}, indent=2) + "\n")
    say(f"figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
