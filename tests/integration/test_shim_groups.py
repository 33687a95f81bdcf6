"""A shim lives in containerd's control groups: a stop of the host daemon's service does not end it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import cgroups
from tests.harness import shim as tasks_of
from tests.harness.process import wait_until
from tests.harness.stack import Stack


def membership(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


def named(stack: Stack, name: str) -> list[int]:
    return [pid for pid, info in stack.processes().items() if info.name == name]


@pytest.fixture
def elsewhere() -> Iterator[Stack]:
    """containerd is in control groups of its own, of both versions, as a service of systemd's would be."""
    name = cgroups.new_name()
    divided = [path for path in (cgroups.ROOT / "pids", cgroups.ROOT / "unified") if (path / "cgroup.procs").exists()]
    try:
        with Stack() as stack:
            (containerd,) = named(stack, "containerd")
            for hierarchy in divided or [cgroups.ROOT]:
                (hierarchy / name).mkdir()
                (hierarchy / name / "cgroup.procs").write_text(str(containerd))
            # without the zygote the shim is a child of containerd's, and there anyway
            assert wait_until((stack.hostd.run_directory / "zygote-shim.sock").exists)
            yield stack
    finally:
        cgroups.remove(name)


def test_a_shim_is_where_containerd_is(elsewhere: Stack) -> None:
    (containerd,) = named(elsewhere, "containerd")
    theirs = membership(containerd)
    zygotes = named(elsewhere, "teemate-zygote")
    assert theirs not in {membership(zygote) for zygote in zygotes}
    image = elsewhere.ctr_image("busybox")
    for name in ("first", "second"):
        done = elsewhere.containerd.run_with_shim(image, name, "sleep", "1000", options=("--detach",))
        assert done.returncode == 0, done.stderr
        # so that the next one need not move: where the last shim was called, the next child waits
        assert wait_until(lambda: theirs in {membership(pid) for pid in named(elsewhere, "teemate-spare")})
    shims = named(elsewhere, "shim-teemate-v2")
    assert [membership(shim) for shim in shims] == [theirs, theirs]
    assert theirs not in {membership(zygote) for zygote in zygotes}
    for name in ("first", "second"):
        tasks_of.remove(elsewhere.containerd, name)
