"""What the shim does in crun's place: it starts a created container and forgets an ended one. And what it does not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shim.crun_state import CrunState
from shim.delegate import DelegateError

HIERARCHIES = "3:cpu,cpuacct:/self\n2:memory:/self\n1:name=systemd:/self\n0::/self\n"


@dataclass
class Host:
    """A directory of crun's, and the control groups of a host of either version."""

    directory: Path
    cgroups: Path
    proc: Path
    status: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def read(self) -> CrunState | None:
        (self.directory / "status").write_text(json.dumps(self.status))
        (self.directory / "config.json").write_text(json.dumps(self.config))
        return CrunState.read(self.directory, cgroup_root=self.cgroups, proc=self.proc)

    def state(self) -> CrunState:
        state = self.read()
        assert state
        return state

    def make_fifo(self) -> Path:
        os.mkfifo(self.directory / "exec.fifo")
        return self.directory / "exec.fifo"

    def containers_cgroups(self) -> set[str]:
        return {str(path.relative_to(self.cgroups)) for path in self.cgroups.rglob("c1")}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """As crun 1.8 leaves a created container, on a host with cgroup v1 and no v2 hierarchy."""
    host = Host(tmp_path / "root" / "c1", tmp_path / "cgroup", tmp_path / "proc")
    host.directory.mkdir(parents=True)
    (host.proc / "self").mkdir(parents=True)
    (host.proc / "self" / "cgroup").write_text(HIERARCHIES)
    for name in ("cpu,cpuacct", "memory", "systemd"):
        (host.cgroups / name / "above" / "c1").mkdir(parents=True)
    host.status = {
        "pid": 4242,
        "process-start-time": 1234567,
        "cgroup-path": "/above/c1",
        "scope": "",
        "rootfs": "/bundle/rootfs",
        "systemd-cgroup": False,
        "bundle": "/bundle",
        "created": "2024-01-01T00:00:00.000000Z",
        "owner": "root",
        "detached": True,
        "external_descriptors": '["/dev/null","pipe:[1]","pipe:[2]"]',
    }
    host.config = {"ociVersion": "1.0.2", "linux": {"namespaces": []}}
    return host


def start(state: CrunState, *, has_ended: bool = False) -> None:
    async def scenario() -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if has_ended:
            ended.set_result(None)
        await state.start(ended)

    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        asyncio.run(scenario())
    finally:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_init_reads_what_start_writes(host: Host) -> None:
    state = host.state()
    init = os.open(host.make_fifo(), os.O_RDONLY | os.O_NONBLOCK)
    try:
        start(state)
        assert len(os.read(init, 2)) == 1
        assert not (host.directory / "exec.fifo").exists()
        with pytest.raises(DelegateError, match="cannot start an already running container"):
            start(state)
    finally:
        os.close(init)


def test_an_init_that_died_before_its_start(host: Host) -> None:
    state = host.state()
    fifo = host.make_fifo()
    with pytest.raises(DelegateError, match="already dead"):
        start(state)
    # a hook's child may have inherited its end
    heir = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(DelegateError, match="already dead"):
            start(state, has_ended=True)
    finally:
        os.close(heir)


def test_forget_leaves_nothing_in_any_hierarchy(host: Host) -> None:
    (host.cgroups / "memory" / "above" / "c1" / "made" / "inside").mkdir(parents=True)
    (host.cgroups / "systemd" / "above" / "c1").rmdir()  # somebody was quicker
    host.make_fifo()
    assert host.state().forget()
    assert not host.directory.exists()
    assert host.containers_cgroups() == set()
    assert (host.cgroups / "memory" / "above").exists(), "it is not the container's"


def test_forget_where_a_v2_hierarchy_stands_beside_v1(host: Host) -> None:
    (host.cgroups / "unified" / "above" / "c1").mkdir(parents=True)
    assert host.state().forget()
    assert host.containers_cgroups() == set()


def test_forget_on_cgroup_v2(host: Host) -> None:
    for name in ("cpu,cpuacct", "memory", "systemd"):
        shutil.rmtree(host.cgroups / name)
    (host.cgroups / "cgroup.controllers").touch()
    (host.cgroups / "above" / "c1" / "init").mkdir(parents=True)
    (host.cgroups / "cpu" / "above" / "c1").mkdir(parents=True)  # somebody's, of such a name
    assert host.state().forget()
    assert host.containers_cgroups() == {"cpu/above/c1"}


def test_a_control_group_in_use_is_left_to_crun(host: Host) -> None:
    (host.cgroups / "memory" / "above" / "c1" / "in-use").touch()
    assert not host.state().forget()
    assert (host.directory / "status").exists()


@pytest.mark.parametrize(("hook", "start_is_plain", "delete_is_plain"), [
    ("prestart", True, True),
    ("createRuntime", True, True),
    ("poststart", False, True),
    ("poststop", True, False),
])  # fmt: skip
def test_hooks_are_left_to_crun(host: Host, hook: str, start_is_plain: bool, delete_is_plain: bool) -> None:
    host.config["hooks"] = {hook: [{"path": "/bin/true"}], "startContainer": []}
    state = host.state()
    assert (state.start_is_plain, state.delete_is_plain) == (start_is_plain, delete_is_plain)


def test_a_resctrl_group_is_left_to_crun(host: Host) -> None:
    host.config["linux"]["intelRdt"] = {"closID": "c1"}
    assert not host.state().delete_is_plain


@pytest.mark.parametrize("change", [
    {"cgroup-path": ""},
    {"cgroup-path": "/"},
    {"cgroup-path": None},
    {"cgroup-path": "/above/../../c1"},
    {"systemd-cgroup": True},
    {"systemd-cgroup": None},
    {"scope": "crun-c1.scope"},
    {"something": "new"},
])  # fmt: skip
def test_a_status_of_another_form_is_left_to_crun(host: Host, change: dict[str, Any]) -> None:
    host.status |= change
    assert host.read() is None


@pytest.mark.parametrize("change", [{"hooks": "many"}, {"linux": None}])
def test_a_configuration_of_another_form_is_left_to_crun(host: Host, change: dict[str, Any]) -> None:
    host.config |= change
    assert host.read() is None


@pytest.mark.parametrize("name", ["status", "config.json"])
def test_a_record_that_is_not_there_or_broken_is_left_to_crun(host: Host, name: str) -> None:
    host.state()
    for spoil in (lambda: (host.directory / name).write_text("{"), (host.directory / name).unlink):
        spoil()
        assert CrunState.read(host.directory, cgroup_root=host.cgroups, proc=host.proc) is None


def test_what_another_runtime_keeps_is_left_to_it(host: Host) -> None:
    (host.directory / "state.json").write_text("{}")  # runc's
    assert CrunState.read(host.directory, cgroup_root=host.cgroups, proc=host.proc) is None


def test_a_container_that_somebody_else_has_removed_is_left_to_crun(host: Host) -> None:
    """What is known of it was read when it was created."""
    state = host.state()
    shutil.rmtree(host.directory)
    assert not state.forget()
