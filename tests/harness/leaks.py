"""Nothing may be left: what a stack holds before and after a piece of work is compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.harness.patience import PATIENCE
from tests.harness.process import wait_until
from tests.harness.stack import Stack
from zygote.resident import FREE_MAX

# A scrubbed compartment keeps what the enclave's build put there, and the LibOS's own few pages.
KEPT_BYTES_PER_COMPARTMENT = 64 << 10


@dataclass(frozen=True)
class Holdings:
    processes: Counter[str]
    mounts: frozenset[str]
    descriptors: int
    memfd_bytes: int  # without what prepares idle compartments
    leases: int
    containers: int


def holdings(stack: Stack) -> Holdings:
    pools = stack.hostd.listing("pool", "ls")
    descriptors = stack.hostd.descriptors()
    return Holdings(
        processes=_processes(stack),
        mounts=frozenset(str(point) for point in stack.mounts()),
        descriptors=descriptors.count,
        memfd_bytes=descriptors.memfd_bytes - sum(int(pool["prepared_memory"]) for pool in pools),
        leases=len(stack.hostd.leases()),
        containers=len(stack.docker.containers()) if stack.docker.daemon else 0,
    )


def _processes(stack: Stack) -> Counter[str]:
    # the janitor is executed by descriptor, whose number becomes its name
    names = Counter(
        "janitor" if info.name.isdigit() else info.name for info in stack.processes().values() if info.state != "Z"
    )
    # children that wait for a call come and go with the calls
    names["teemate-spare"] = max(0, names["teemate-spare"] - names["teemate-zygote"] - FREE_MAX)
    return names


def compartments_touched(stack: Stack) -> int:
    return sum(int(pool["settings"]["compartments"]) for pool in stack.hostd.listing("pool", "ls"))


def leaked(before: Holdings, after: Holdings, *, kept_bytes: int) -> list[str]:
    """What is held now and was not before, in words."""
    found = [f"{count} processes {name}" for name, count in (after.processes - before.processes).items()]
    found += [f"mount {point}" for point in sorted(after.mounts - before.mounts)]
    if after.descriptors > before.descriptors:
        found.append(f"{after.descriptors - before.descriptors} descriptors of teemate-hostd")
    if after.memfd_bytes > before.memfd_bytes + kept_bytes:
        found.append(f"{after.memfd_bytes - before.memfd_bytes} bytes of memfds, {kept_bytes} allowed")
    if after.leases > before.leases:
        found.append(f"{after.leases - before.leases} leases")
    if after.containers > before.containers:
        found.append(f"{after.containers - before.containers} containers")
    return found


def assert_nothing_leaked(stack: Stack, before: Holdings, *, kept_bytes: int, seconds: float = PATIENCE) -> None:
    """Recovery and scrubbing are asynchronous: it may take a moment until all is given back."""
    state: list[str] = []

    def clean() -> bool:
        state[:] = leaked(before, holdings(stack), kept_bytes=kept_bytes)
        return not state

    if not wait_until(clean, seconds=seconds, every=0.2):
        names = "\n".join(str(info) for info in stack.processes().values())
        raise AssertionError("left behind:\n  " + "\n  ".join(state) + f"\nprocesses now:\n{names}")
