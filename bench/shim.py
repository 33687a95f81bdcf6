"""`ctr run --rm` with our shim against the stock one with plain runc, and the memory of a shim in service."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.figures import Figure, Suite, compare, figure
from tests.harness import shim as tasks_of
from tests.harness.containerd import OWN_SHIM, STOCK_SHIM
from tests.harness.process import HarnessError
from tests.harness.stack import Stack
from tests.harness.world import UndividedControllers

ROUNDS = 41
TARGET = 0.75
SHIMS = 20
# Its own for each run of the benchmark: the control groups of two containers of one name are the same.
NAME = f"bench-{os.getpid()}"


def _run(stack: Stack, image: str, shim: str) -> float:
    begin = time.perf_counter()
    done = stack.containerd.run_with_shim(image, NAME, "/programs/musl-static/hello", shim=shim)
    elapsed = time.perf_counter() - begin
    if done.returncode or done.stdout != "hello, world\n":
        raise HarnessError(f"{shim}: status {done.returncode}: {done.stderr}")
    return elapsed * 1000


def _speed(name: str, stack: Stack, *, measured: str) -> Figure:
    image = stack.ctr_image("programs")
    return compare(
        name,
        unit="ms",
        rounds=ROUNDS,
        baseline=("runc.v2 with runc", lambda: _run(stack, image, STOCK_SHIM)),
        measured=(measured, lambda: _run(stack, image, OWN_SHIM)),
        target=TARGET,
    )


def _over_crun() -> Figure:
    """Both shims where crun works: ours then prefers it. The stock one has runc, as it does everywhere."""
    with Stack(world=UndividedControllers()) as stack:
        done = stack.containerd.run_with_shim(stack.ctr_image("busybox"), NAME, "sleep", "1000", options=("--detach",))
        if done.returncode:
            raise HarnessError(done.stderr)
        delegate = tasks_of.delegate_of(stack.containerd, NAME)
        tasks_of.remove(stack.containerd, NAME)
        if delegate != "crun":
            raise HarnessError(f"the shim's delegate is {delegate}, not crun")
        return _speed("ctr run --rm of hello where crun works", stack, measured="teemate.v2 with crun")


def _shims(stack: Stack, shim: str) -> set[int]:
    wanted = "containerd-shim" if shim == STOCK_SHIM else "shim-teemate-v2"
    return {pid for pid, info in stack.processes().items() if info.name == wanted}


def _pss_kilobytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise HarnessError(f"process {pid} has no Pss")


def _memory(stack: Stack, image: str, shim: str) -> float:
    """PSS of the last of SHIMS shims, in MB."""
    names = [f"resident{number}" for number in range(SHIMS)]
    before: set[int] = set()
    last: set[int] = set()
    for name in names:
        before = _shims(stack, shim)
        done = stack.containerd.run_with_shim(image, name, "sleep", "1000", shim=shim, options=("--detach",))
        if done.returncode:
            raise HarnessError(f"{shim}: {done.stderr}")
        last = _shims(stack, shim) - before
    time.sleep(1)
    (pid,) = last
    pss = _pss_kilobytes(pid) / 1000
    for name in names:
        stack.containerd.ctr("tasks", "delete", "--force", name)
        stack.containerd.ctr("containers", "delete", name)
    return pss


def run() -> Suite:
    with Stack() as stack:
        speed = _speed("ctr run --rm of hello, enclave attach included", stack, measured="teemate.v2")
        busybox = stack.ctr_image("busybox")
        memory = figure(
            f"PSS of shim number {SHIMS}",
            unit="MB",
            baseline=("runc.v2", [_memory(stack, busybox, STOCK_SHIM)]),
            measured=("teemate.v2", [_memory(stack, busybox, OWN_SHIM)]),
            target=1.0,
        )
    return Suite(name="shim", title="containerd shims", figures=[speed, _over_crun(), memory])
