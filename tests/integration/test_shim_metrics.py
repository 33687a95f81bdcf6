"""The metrics of a container include its enclave, and are what they were for everybody who does not know of that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protos.containerd import cgroups_v1_pb2, cgroups_v2_pb2
from shim import enclave_metrics
from tests.harness import shim as tasks_of
from tests.harness.containerd import OWN_SHIM, STOCK_SHIM
from tests.harness.process import wait_until
from tests.harness.stack import Stack

METRICS = (cgroups_v1_pb2.Metrics, cgroups_v2_pb2.Metrics)
SLEEP = ("sleep", "1000")
FOUR_THREADS = "import threading, time; [threading.Thread(target=time.sleep, args=(1000,)).start() for _ in range(3)]"


def start(
    stack: Stack,
    name: str,
    *command: str,
    image: str = "busybox",
    shim: str = OWN_SHIM,
    options: tuple[str, ...] = (),
) -> None:
    image = stack.ctr_image(image)
    done = stack.containerd.run_with_shim(image, name, *command, shim=shim, options=("--detach", *options))
    assert done.returncode == 0, done.stderr


def test_ctr_prints_what_it_prints_of_the_stock_shims(tidy: Stack) -> None:
    tables, keys = [], []
    for shim in (STOCK_SHIM, OWN_SHIM):
        start(tidy, "measured", *SLEEP, shim=shim)
        lines = tidy.containerd.ctr("tasks", "metrics", "measured").stdout.splitlines()
        printed = json.loads(tidy.containerd.ctr("tasks", "metrics", "--format=json", "measured").stdout)
        tasks_of.remove(tidy.containerd, "measured")
        tables.append([line.split()[0] for line in lines if line.strip()])
        keys.append(set(printed))
    assert tables[0] == tables[1]
    # Ours has every part, also the empty ones: dockerd looks into them all. But nothing that containerd does not know.
    known = {field.name for each in METRICS for field in each.DESCRIPTOR.fields}
    assert keys[0] <= keys[1] <= known


def test_the_enclaves_part_is_what_the_daemon_says(tidy: Stack) -> None:
    options = ("--annotation=io.teemate.threads=7",)
    start(tidy, "measured", "python3", "-c", FOUR_THREADS, image="python", options=options)
    address = tasks_of.address(tidy.containerd, "measured")

    def enclave() -> Any:
        return enclave_metrics.read(tasks_of.stats(address, "measured"))

    assert wait_until(lambda: enclave().tcs_in_use == 4, seconds=30), enclave()
    sleeping = ("python3", "-c", "import time; time.sleep(1000)")
    tidy.containerd.ctr("tasks", "exec", "--exec-id=e1", "--detach", "measured", *sleeping)
    told = enclave()
    rows = {row["pid"]: row for row in tidy.hostd.listing("ps")}
    assert len(told.processes) == len(rows) == 2
    for process in told.processes:
        row = rows[process.process_id]
        assert (process.enclave_id, process.compartment, process.tcs) == (
            row["enclave"],
            row["compartment"],
            row["threads"],
        )
        assert 0 < process.epc_committed <= process.epc_limit
    first = told.processes[0]
    assert (first.process_id, first.tcs, first.tcs_in_use) == (tasks_of.tasks(tidy.containerd)["measured"][0], 7, 4)
    assert rows[first.process_id]["threads_in_use"] == 4
    assert (told.tcs_in_use, told.epc_committed) == (
        sum(process.tcs_in_use for process in told.processes),
        sum(process.epc_committed for process in told.processes),
    )
    tasks_of.remove(tidy.containerd, "measured")


def test_containerd_decodes_them(tidy: Stack) -> None:
    """By the type that they are announced as, from the bytes that come out."""
    start(tidy, "measured", *SLEEP)
    stats = tasks_of.stats(tasks_of.address(tidy.containerd, "measured"), "measured")
    types = {each.DESCRIPTOR.full_name: each for each in METRICS}
    assert types[stats.type_url].FromString(stats.value).pids.current >= 1
    tasks_of.remove(tidy.containerd, "measured")


@pytest.mark.parametrize("annotation", ["io.kubernetes.cri.container-type=sandbox"])
def test_a_container_without_a_compartment_has_none_to_tell_of(tidy: Stack, annotation: str) -> None:
    start(tidy, "pause", *SLEEP, options=(f"--annotation={annotation}",))
    assert enclave_metrics.read(tasks_of.stats(tasks_of.address(tidy.containerd, "pause"), "pause")) is None
    tasks_of.remove(tidy.containerd, "pause")
