"""What happens to containers when a part dies: containerd, a shim, the zygote, the host daemon. And to many at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import shim as tasks_of
from tests.harness.leaks import KEPT_BYTES_PER_COMPARTMENT, assert_nothing_leaked, compartments_touched, holdings
from tests.harness.process import wait_until
from tests.harness.shim import Events
from tests.harness.stack import Stack
from tests.integration.sizes import AT_ONCE, ROW

POOLS = {"default": {"compartments": 72, "threads": 8, "memory": "256MiB", "ready": 1, "maximum": 1}}
RUNNING = 20
PARALLEL = 4


@pytest.fixture(scope="module")
def fragile() -> Iterator[Stack]:
    """A stack of our own, since these tests break it."""
    with Stack(pools=POOLS) as stack:
        image = stack.ctr_image("busybox")
        stack.containerd.run_with_shim(image, "warm", "true")
        # until then the zygotes have descriptors of their preparations
        assert wait_until(lambda: are_ready(stack))
        yield stack


@pytest.fixture
def watched(fragile: Stack) -> Iterator[Stack]:
    """Nothing may be left: processes, mounts, descriptors, leases; nor sockets, bundles, the delegate's containers."""
    before = holdings(fragile)
    files = tasks_of.traces(fragile.containerd)
    descriptors = zygote_descriptors(fragile)
    yield fragile
    with ThreadPoolExecutor(PARALLEL) as executor:
        list(executor.map(lambda name: tasks_of.remove(fragile.containerd, name), tasks_of.tasks(fragile.containerd)))
    kept = KEPT_BYTES_PER_COMPARTMENT * compartments_touched(fragile)
    assert_nothing_leaked(fragile, before, kept_bytes=kept)
    assert fragile.hostd.listing("ps") == []
    assert wait_until(lambda: tasks_of.traces(fragile.containerd) == files), tasks_of.traces(fragile.containerd) - files
    # while the child for the next call is due, that of the last one is still counted or not yet
    assert wait_until(lambda: zygote_descriptors(fragile) == descriptors)


def zygotes(stack: Stack) -> list[int]:
    assert stack.hostd.daemon
    keeper = stack.hostd.daemon.pid
    return sorted(i.pid for i in stack.processes().values() if (i.name, i.parent) == ("teemate-zygote", keeper))


def are_ready(stack: Stack) -> bool:
    """Does each zygote serve, with a child that waits for the next call and none that does anything else?"""
    sockets = [stack.hostd.run_directory / f"zygote-{front}.sock" for front in ("shim", "runtime")]
    everything = stack.processes().values()
    children = [[info.name for info in everything if info.parent == zygote] for zygote in zygotes(stack)]
    return all(path.exists() for path in sockets) and [set(names) for names in children] == [{"teemate-spare"}] * 2


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def zygote_descriptors(stack: Stack) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in zygotes(stack))


def start(stack: Stack, *names: str) -> None:
    image = stack.ctr_image("busybox")

    def one(name: str) -> None:
        done = stack.containerd.run_with_shim(image, name, "sleep", "1000", options=("--detach",))
        assert done.returncode == 0, done.stderr

    with ThreadPoolExecutor(PARALLEL) as executor:
        list(executor.map(one, names))


def test_containerd_restarted_under_running_containers(watched: Stack) -> None:
    names = [f"kept{number}" for number in range(RUNNING)]
    start(watched, *names)
    before = tasks_of.tasks(watched.containerd)
    assert watched.containerd.daemon
    watched.containerd.daemon.kill()
    os.kill(before["kept1"][0], signal.SIGKILL)  # ends while nobody listens
    watched.containerd.start()
    after = tasks_of.tasks(watched.containerd)
    assert {name: after[name] for name in names if name != "kept1"} == {
        name: before[name] for name in names if name != "kept1"
    }
    tasks_of.wait_status(watched.containerd, "kept1", "STOPPED")
    assert tasks_of.state(tasks_of.address(watched.containerd, "kept1"), "kept1").exit_status == 128 + signal.SIGKILL
    assert watched.containerd.ctr("tasks", "exec", "--exec-id=e", "kept2", "echo", "here").stdout == "here\n"
    with Events(watched.containerd) as events:
        watched.containerd.ctr("tasks", "kill", "--signal=SIGKILL", "kept3")
        tasks_of.wait_status(watched.containerd, "kept3", "STOPPED")
        events.wait_for("kept3", "exit")
    assert events.topics("kept3") == ["exit"]


def test_a_killed_shim_takes_its_container_along(watched: Stack) -> None:
    before = tasks_of.shims(watched)
    start(watched, "orphaned", "bystander")
    pid = tasks_of.tasks(watched.containerd)["orphaned"][0]
    shim = parent(pid)
    assert shim in tasks_of.shims(watched) - before
    with Events(watched.containerd) as events:
        os.kill(shim, signal.SIGKILL)
        assert wait_until(lambda: "orphaned" not in tasks_of.tasks(watched.containerd))
        assert wait_until(lambda: not Path(f"/proc/{pid}").exists())
        assert wait_until(
            lambda: [lease["container"] for lease in watched.hostd.leases()] == ["default/bystander"],
        )
        events.wait_for("orphaned", "exit")
    exits = [content for topic, content in events.of("orphaned") if topic == "exit"]
    assert [content["exit_status"] for content in exits] == [128 + signal.SIGKILL]
    assert watched.containerd.ctr("tasks", "exec", "--exec-id=e", "bystander", "echo", "here").stdout == "here\n"
    watched.containerd.ctr("containers", "delete", "orphaned")


def test_a_killed_zygote_harms_nobody_and_the_next_start_is_cold(watched: Stack) -> None:
    start(watched, "before")
    for pid in zygotes(watched):
        os.kill(pid, signal.SIGKILL)
    start(watched, "cold")
    assert watched.containerd.ctr("tasks", "exec", "--exec-id=e", "before", "echo", "here").stdout == "here\n"
    assert watched.containerd.ctr("tasks", "exec", "--exec-id=e", "cold", "echo", "here").stdout == "here\n"
    assert wait_until(lambda: len(zygotes(watched)) == 2), "they are kept"
    start(watched, "after")


def test_a_killed_host_daemon_harms_no_container(watched: Stack) -> None:
    start(watched, "through")
    assert watched.hostd.daemon
    watched.hostd.daemon.kill()
    assert "RUNNING" in tasks_of.tasks(watched.containerd)["through"][1]
    refused = watched.containerd.run_with_shim(watched.ctr_image("busybox"), "refused", "true")
    assert refused.returncode != 0 and "host daemon cannot be reached" in refused.stderr
    watched.hostd.start()
    assert wait_until(lambda: len(zygotes(watched)) == 2)
    assert [lease["container"] for lease in watched.hostd.leases()] == ["default/through"]
    assert watched.containerd.ctr("tasks", "exec", "--exec-id=e", "through", "echo", "here").stdout == "here\n"


def test_in_a_row(watched: Stack) -> None:
    image = watched.ctr_image("programs")

    def one(number: int) -> None:
        done = watched.containerd.run_with_shim(image, f"row{number}", "/programs/musl-static/hello")
        assert (done.returncode, done.stdout) == (0, "hello, world\n"), done.stderr

    with ThreadPoolExecutor(PARALLEL) as executor:
        list(executor.map(one, range(ROW)))


def test_at_once(watched: Stack) -> None:
    names = [f"crowd{number}" for number in range(AT_ONCE)]
    image = watched.ctr_image("busybox")

    def one(name: str) -> None:
        done = watched.containerd.run_with_shim(image, name, "sleep", "1000", options=("--detach",))
        assert done.returncode == 0, done.stderr

    with ThreadPoolExecutor(AT_ONCE) as executor:
        list(executor.map(one, names))
    assert {name for name, (_, status) in tasks_of.tasks(watched.containerd).items() if status == "RUNNING"} >= set(
        names
    )
    assert len(watched.hostd.leases()) == AT_ONCE
