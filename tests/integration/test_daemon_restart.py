"""The host daemon crashes and comes back: no container dies, no lease is lost, nothing is granted twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.patience import GRACE, PATIENCE
from tests.harness.process import wait_until
from tests.harness.stack import Stack

POOLS = {"default": {"compartments": 8, "threads": 8, "memory": "256MiB", "ready": 1, "maximum": 3}}
COUNT = 4


@pytest.fixture
def fresh() -> Iterator[Stack]:
    with Stack(pools=POOLS) as stack:
        yield stack


def start(stack: Stack, count: int) -> list[str]:
    image = stack.docker_image("programs")
    command = ("/programs/glibc-dynamic/signals", "term")
    names = [stack.docker.check("run", "--detach", "--runtime=teemate", image, *command) for _ in range(count)]
    assert wait_until(lambda: all(stack.docker("logs", name).stdout == b"ready\n" for name in names))
    return names


def crash(stack: Stack) -> None:
    assert stack.hostd.daemon
    stack.hostd.daemon.kill()


def stop_all(stack: Stack, names: list[str]) -> None:
    stack.docker.check("stop", f"--time={GRACE}", *names)
    assert [stack.docker.inspect(name, "{{.State.ExitCode}}") for name in names] == ["3"] * len(names)
    stack.docker.check("rm", *names)


def identity(lease: dict[str, object]) -> tuple[object, ...]:
    return tuple(lease[key] for key in ("id", "container", "pool", "enclave_id", "compartment", "process_id"))


def test_leases_are_adopted(fresh: Stack) -> None:
    names = start(fresh, COUNT)
    before = sorted(map(identity, fresh.hostd.leases()))
    crash(fresh)
    assert all(fresh.docker.inspect(name, "{{.State.Running}}") == "true" for name in names)
    fresh.hostd.start()
    assert sorted(map(identity, fresh.hostd.leases())) == before
    # new ones come from an enclave of the new daemon
    more = start(fresh, 2)
    leases = fresh.hostd.leases()
    assert len(leases) == COUNT + 2
    assert len({(lease["enclave_id"], lease["compartment"]) for lease in leases}) == COUNT + 2
    stop_all(fresh, names + more)
    assert wait_until(lambda: fresh.hostd.leases() == [])
    assert fresh.docker.run(fresh.docker_image("programs"), "/programs/glibc-dynamic/hello").returncode == 0


def test_containers_end_while_the_daemon_is_away(fresh: Stack) -> None:
    names = start(fresh, COUNT)
    crash(fresh)
    stop_all(fresh, names[:2])
    fresh.hostd.start()
    assert wait_until(lambda: len(fresh.hostd.leases()) == COUNT - 2)
    fresh.docker.check("kill", *names[2:])
    assert wait_until(lambda: fresh.hostd.leases() == [])
    fresh.docker.check("rm", *names[2:])


def test_crashes_twice(fresh: Stack) -> None:
    names = start(fresh, 2)
    before = sorted(map(identity, fresh.hostd.leases()))
    for _ in range(2):
        crash(fresh)
        fresh.hostd.start()
        assert sorted(map(identity, fresh.hostd.leases())) == before
    stop_all(fresh, names)
    assert wait_until(lambda: fresh.hostd.leases() == [])


def test_ordinary_end_keeps_containers(fresh: Stack) -> None:
    """SIGTERM, as an upgrade would send it."""
    names = start(fresh, 2)
    fresh.hostd.stop()
    assert all(fresh.docker.inspect(name, "{{.State.Running}}") == "true" for name in names)
    fresh.hostd.start()
    assert len(fresh.hostd.leases()) == 2
    stop_all(fresh, names)
    assert wait_until(lambda: fresh.hostd.leases() == [])


def test_second_daemon_on_the_same_run_directory_is_refused(fresh: Stack) -> None:
    from subprocess import DEVNULL, run

    from tests.harness.paths import HOSTD
    from tests.harness.process import clean_environment

    done = run(
        [HOSTD, "--config", fresh.hostd.config],
        stdin=DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=clean_environment(),
    )
    assert done.returncode != 0
    assert str(fresh.hostd.directory) in done.stderr and "another daemon" in done.stderr
    assert fresh.hostd.listing("pool", "ls")
