"""`teemate-runtime run` against its delegate alone, on the same bundle."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from bench.figures import Suite, compare
from tests.harness.bundle import Bundle
from tests.harness.paths import RUNC, RUNTIME
from tests.harness.process import HarnessError
from tests.harness.stack import Stack

ROUNDS = 41
# In seconds. Right after another container the kernel does not wait before it moves a process between control groups
# (enclave_host/cgroup_migration.py), so runc does not, either; on a machine that has been idle it does.
PAUSES = {"one at once after the other": 0.0, "one every now and then": 0.1}
TARGET = 1.3
# Its own for each run of the benchmark: the control groups of two containers of one name are the same.
NAME = f"bench-{os.getpid()}"


def _run(bundle: Bundle, runtime: Path) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        bundle.command(NAME, runtime=runtime),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=bundle.environment,
    )
    elapsed = time.perf_counter() - begin
    if done.returncode or done.stdout != b"hello, world\n":
        raise HarnessError(f"{runtime}: status {done.returncode}: {done.stderr.decode(errors='replace')}")
    return elapsed * 1000


def run() -> Suite:
    with Stack(with_containers=False) as stack:
        bundle = Bundle(stack)
        bundle.config["process"]["args"] = ["/programs/musl-static/hello"]
        bundle.write()
        figures = [
            compare(
                f"run a container of hello, create to delete, {when}",
                unit="ms",
                rounds=ROUNDS,
                baseline=("runc run", lambda: _run(bundle, RUNC)),
                measured=("teemate-runtime run", lambda: _run(bundle, RUNTIME)),
                target=TARGET,
                pause=pause,
            )
            for when, pause in PAUSES.items()
        ]
    return Suite(name="runtime", title="The OCI runtime against its delegate", figures=figures)
