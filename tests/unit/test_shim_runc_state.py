"""What the shim does in runc's place: it starts a created container and forgets an ended one. And what it does not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shim.delegate import DelegateError
from shim.runc_state import RuncState


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    (root / "cpu" / "c1").mkdir(parents=True)
    (root / "memory" / "c1").mkdir(parents=True)
    return root


@pytest.fixture
def document(cgroups: Path) -> dict[str, Any]:
    return {
        "config": {"Hooks": {"poststart": None, "poststop": None}},
        "cgroup_paths": {name: str(cgroups / name / "c1") for name in ("cpu", "memory")},
        "intel_rdt_path": "",
    }


def written(tmp_path: Path, document: dict[str, Any]) -> Path:
    directory = tmp_path / "root" / "c1"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "state.json").write_text(json.dumps(document))
    return directory


def read_if_known(tmp_path: Path, document: dict[str, Any]) -> RuncState | None:
    return RuncState.read(written(tmp_path, document), cgroup_root=tmp_path / "cgroup")


def read(tmp_path: Path, document: dict[str, Any]) -> RuncState:
    state = read_if_known(tmp_path, document)
    assert state
    return state


def start(state: RuncState, *, init: str | None = None, has_ended: bool = False) -> None:
    """`init` is what a shell does in the place of the container's init, in the container's directory."""

    async def scenario() -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if has_ended:
            ended.set_result(None)
        process = subprocess.Popen(["sh", "-c", init], cwd=state.directory) if init else None
        try:
            async with asyncio.timeout(20):
                await state.start(ended)
        finally:
            if process:
                process.kill()
                process.wait()

    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        asyncio.run(scenario())
    finally:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_start_reads_what_init_writes(tmp_path: Path, document: dict[str, Any]) -> None:
    state = read(tmp_path, document)
    os.mkfifo(state.directory / "exec.fifo")
    start(state, init="printf 0 > exec.fifo; exec sleep 100")
    assert not (state.directory / "exec.fifo").exists()
    with pytest.raises(DelegateError, match="cannot start an already running container"):
        start(state)


def test_an_init_that_has_written_and_ended_has_been_started(tmp_path: Path, document: dict[str, Any]) -> None:
    state = read(tmp_path, document)
    fifo = state.directory / "exec.fifo"
    os.mkfifo(fifo)
    holder = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(holder, b"0")
        start(state, has_ended=True)
    finally:
        os.close(holder)


def test_an_init_that_died_before_its_start_does_not_hang(tmp_path: Path, document: dict[str, Any]) -> None:
    state = read(tmp_path, document)
    os.mkfifo(state.directory / "exec.fifo")
    with pytest.raises(DelegateError, match="already dead"):
        start(state, has_ended=True)
    with pytest.raises(DelegateError, match="already dead"):
        start(state, init=": > exec.fifo")


def test_forget_leaves_nothing(tmp_path: Path, cgroups: Path, document: dict[str, Any]) -> None:
    (cgroups / "memory" / "c1" / "made" / "inside").mkdir(parents=True)
    (cgroups / "cpu" / "c1").rmdir()  # somebody was quicker
    state = read(tmp_path, document)
    assert state.forget()
    assert not state.directory.exists()
    assert [path for path in cgroups.rglob("*") if path.name == "c1"] == []


def test_a_control_group_in_use_is_left_to_runc(tmp_path: Path, cgroups: Path, document: dict[str, Any]) -> None:
    (cgroups / "memory" / "c1" / "in-use").touch()
    state = read(tmp_path, document)
    assert not state.forget()
    assert (state.directory / "state.json").exists()


@pytest.mark.parametrize(("hook", "start_is_plain", "delete_is_plain"), [
    ("prestart", True, True),
    ("poststart", False, True),
    ("poststop", True, False),
])  # fmt: skip
def test_hooks_are_left_to_runc(
    tmp_path: Path, document: dict[str, Any], hook: str, start_is_plain: bool, delete_is_plain: bool
) -> None:
    document["config"]["Hooks"][hook] = [{"path": "/bin/true"}]
    state = read(tmp_path, document)
    assert (state.start_is_plain, state.delete_is_plain) == (start_is_plain, delete_is_plain)


def test_a_resctrl_group_is_left_to_runc(tmp_path: Path, document: dict[str, Any]) -> None:
    document["intel_rdt_path"] = "/sys/fs/resctrl/c1"
    assert not read(tmp_path, document).delete_is_plain


@pytest.mark.parametrize("change", [
    {"config": {}},
    {"config": None},
    {"cgroup_paths": {}},
    {"cgroup_paths": None},
    {"cgroup_paths": {"cpu": "/etc"}},
])  # fmt: skip
def test_a_record_of_another_form_is_left_to_runc(
    tmp_path: Path, document: dict[str, Any], change: dict[str, Any]
) -> None:
    assert read_if_known(tmp_path, document | change) is None


def test_a_path_out_of_the_control_groups_is_left_to_runc(
    tmp_path: Path, cgroups: Path, document: dict[str, Any]
) -> None:
    document["cgroup_paths"]["cpu"] = f"{cgroups}/../root"
    assert read_if_known(tmp_path, document) is None


def test_what_another_runtime_keeps_is_left_to_it(tmp_path: Path) -> None:
    directory = tmp_path / "root" / "c1"
    directory.mkdir(parents=True)
    (directory / "status").write_text("{}")  # crun's
    assert RuncState.read(directory) is None


def test_a_container_that_somebody_else_has_removed_is_left_to_runc(tmp_path: Path, document: dict[str, Any]) -> None:
    """What is known of it was read when it was created."""
    state = read(tmp_path, document)
    shutil.rmtree(state.directory)
    assert not state.forget()
