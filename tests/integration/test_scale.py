"""Many containers, one after the other, at once, and killed at random moments: nothing may be left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.leaks import KEPT_BYTES_PER_COMPARTMENT, assert_nothing_leaked, compartments_touched, holdings
from tests.harness.patience import GRACE, PATIENCE
from tests.harness.process import wait_until
from tests.harness.stack import Stack
from tests.integration.sizes import AT_ONCE, KILLS, ROW, SEED

POOLS = {"default": {"compartments": 72, "threads": 8, "memory": "256MiB", "ready": 1, "maximum": 1}}
PARALLEL = 4


@pytest.fixture(scope="module")
def busy() -> Iterator[Stack]:
    """A stack with one enclave in which everything happens."""
    with Stack(pools=POOLS) as stack:
        stack.docker_image("programs")
        stack.docker.run(stack.docker_image("programs"), "/programs/glibc-dynamic/hello")
        yield stack


@pytest.fixture
def watched(busy: Stack) -> Iterator[Stack]:
    before = holdings(busy)
    yield busy
    kept = KEPT_BYTES_PER_COMPARTMENT * compartments_touched(busy)
    assert_nothing_leaked(busy, before, kept_bytes=kept)
    assert busy.hostd.listing("ps") == []
    assert retired(busy) == 0


def retired(stack: Stack) -> int:
    """Compartments that could not be recovered."""
    return sum(int(pool["retired"]) for pool in stack.hostd.listing("pool", "ls"))


def test_in_a_row(watched: Stack) -> None:
    image = watched.docker_image("programs")
    kinds = ("glibc-dynamic", "musl-static")

    def one(number: int) -> None:
        done = watched.docker.run(image, f"/programs/{kinds[number % 2]}/hello")
        assert (done.returncode, done.stdout) == (0, b"hello, world\n"), done.stderr

    with ThreadPoolExecutor(PARALLEL) as executor:
        list(executor.map(one, range(ROW)))


def test_at_once(watched: Stack) -> None:
    image = watched.docker_image("programs")
    words = ("run", "--detach", "--runtime=teemate", image, "/programs/glibc-dynamic/signals", "term")
    with ThreadPoolExecutor(PARALLEL) as executor:
        names = list(executor.map(lambda _: watched.docker.check(*words), range(AT_ONCE)))
    try:
        leases = watched.hostd.leases()
        assert len(leases) == AT_ONCE
        assert len({lease["enclave_id"] for lease in leases}) == 1, "they share one enclave"
        assert len({lease["compartment"] for lease in leases}) == AT_ONCE, "each has a compartment of its own"
        assert wait_until(lambda: all(watched.docker("logs", name).stdout == b"ready\n" for name in names))
        watched.docker.check("stop", f"--time={GRACE}", *names)
        statuses = {watched.docker.inspect(name, "{{.State.ExitCode}}") for name in names}
        assert statuses == {"3"}
    finally:
        watched.docker.check("rm", "--force", *names)


def test_killed_at_random_moments(watched: Stack) -> None:
    """SIGKILL to the container's process, from before its first instruction to the midst of its threads."""
    image = watched.docker_image("programs")
    dice = random.Random(SEED)
    plans = [
        (dice.choice(["", "threads"]), dice.choice([0.0, 0.005, 0.02, 0.1, 0.3]) * dice.random()) for _ in range(KILLS)
    ]

    def one(plan: tuple[str, float]) -> None:
        threads, delay = plan
        words = ("create", "--runtime=teemate", "--pid=host", image, "/programs/glibc-dynamic/spin", threads)
        container = watched.docker.check(*words)
        try:
            starting = watched.docker.popen("start", container)
            wait_until(lambda: init_of(watched, container) > 0 or starting.poll() is not None, every=0.01)
            time.sleep(delay)
            pid = init_of(watched, container)
            if pid > 0:
                kill(pid)
            starting.wait(timeout=PATIENCE)
            status = watched.docker.check("wait", container)
            assert status == "137", f"{plan}: {watched.docker('logs', container)}"
        finally:
            watched.docker.check("rm", "--force", container)

    with ThreadPoolExecutor(PARALLEL) as executor:
        list(executor.map(one, plans))


def init_of(stack: Stack, container: str) -> int:
    return int(stack.docker.inspect(container, "{{.State.Pid}}") or 0)


def kill(pid: int) -> None:
    """The container's process, by a descriptor, so that nobody else's is hit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def test_runtime_killed_at_random_moments(watched: Stack) -> None:
    """The runtime's `create` is killed in the midst of it: the lease must come back."""
    image = watched.docker_image("programs")
    dice = random.Random(SEED + 1)
    for _ in range(max(5, KILLS // 5)):
        name = f"victim-{dice.getrandbits(32):08x}"
        running = watched.docker.popen(
            "run", f"--name={name}", "--runtime=teemate", image, "/programs/glibc-dynamic/hello"
        )
        moment = dice.random() * 0.3
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline:
            time.sleep(0.005)
        for info in watched.processes().values():
            # not `start`: dockerd 20.10 forgets a container whose start fails in this way, and leaves it created
            if "teemate-runtime" in info.command and " create " in info.command:
                kill(info.pid)
        running.wait(timeout=PATIENCE)
        watched.docker("rm", "--force", name)
