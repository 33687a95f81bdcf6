"""The shim over crun, on a host that crun takes: the same as over runc, and nothing left of any container."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty

from protos.containerd import runc_options_pb2, task_v2_pb2
from shim.service import OPTIONS_TYPE
from shim.ttrpc.status import StatusError
from tests.harness import shim as tasks_of
from tests.harness.containerd import OWN_SHIM, STOCK_SHIM
from tests.harness.leaks import KEPT_BYTES_PER_COMPARTMENT, assert_nothing_leaked, compartments_touched, holdings
from tests.harness.paths import CRUN
from tests.harness.process import wait_until
from tests.harness.stack import Stack
from tests.harness.world import UndividedControllers
from tests.integration.shim_session import COMMANDS, assert_same, on_a_terminal, run, session

AT_ONCE = 20
# A pod's pause container runs without the mate: the delegate itself executes its program.
SANDBOX = "--annotation=io.kubernetes.cri.container-type=sandbox"


@pytest.fixture(scope="module")
def crun_stack() -> Iterator[Stack]:
    with Stack(world=UndividedControllers()) as stack:
        stack.containerd.run_with_shim(stack.ctr_image("busybox"), "warm", "true")
        yield stack


@pytest.fixture
def clean(crun_stack: Stack) -> Iterator[Stack]:
    """Nothing may be left: neither what every stack looks for, nor control groups, in any hierarchy."""
    before = holdings(crun_stack)
    files = tasks_of.traces(crun_stack.containerd)
    yield crun_stack
    tasks_of.remove(crun_stack.containerd, *tasks_of.tasks(crun_stack.containerd))
    assert_nothing_leaked(crun_stack, before, kept_bytes=KEPT_BYTES_PER_COMPARTMENT * compartments_touched(crun_stack))
    assert wait_until(lambda: tasks_of.traces(crun_stack.containerd) == files)
    assert wait_until(lambda: not crun_stack.containerd.cgroups()), crun_stack.containerd.cgroups()


def start(stack: Stack, name: str, *options: str) -> None:
    image = stack.ctr_image("busybox")
    done = stack.containerd.run_with_shim(image, name, "sleep", "1000", options=("--detach", *options))
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Created:
    """A container that was created and not started, which no client of containerd can be held at."""

    id: str
    pid: int
    address: str
    directory: Path
    """The delegate's."""

    def call(self, method: str, request_type: Any, response_type: Any = Empty, **fields: Any) -> Any:
        return tasks_of.call(self.address, method, request_type(id=self.id, **fields), response_type)

    def start(self) -> None:
        self.call("Start", task_v2_pb2.StartRequest, task_v2_pb2.StartResponse)

    def kill(self) -> int:
        """Returns the exit status."""
        self.call("Kill", task_v2_pb2.KillRequest, signal=signal.SIGKILL)
        status: int = self.call("Wait", task_v2_pb2.WaitRequest, task_v2_pb2.WaitResponse).exit_status
        return status

    def delete(self) -> int:
        """Returns the exit status."""
        done = self.call("Delete", task_v2_pb2.DeleteRequest, task_v2_pb2.DeleteResponse)
        assert not self.directory.exists()
        assert not Path(f"/proc/{self.pid}").exists()
        status: int = done.exit_status
        return status


@contextlib.contextmanager
def created_in(clean: Stack, *, hooks: dict[str, Any] | None = None) -> Iterator[Created]:
    """In the shim of another container, with a bundle made after that one's."""
    start(clean, "base")
    base = tasks_of.bundle_root(clean.containerd) / "base"
    config = json.loads((base / "config.json").read_text())
    config["root"]["path"] = str(base / "rootfs")
    config["linux"]["cgroupsPath"] = config["linux"]["cgroupsPath"].replace("base", "second")
    config["hooks"] = hooks or {}
    bundle = clean.directory / "second"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(config))
    address = tasks_of.address(clean.containerd, "base")
    root = tasks_of.delegate_root(clean.containerd)
    request = task_v2_pb2.CreateTaskRequest(id="second", bundle=str(bundle))
    request.options.type_url = OPTIONS_TYPE
    request.options.value = runc_options_pb2.Options(root=str(root.parent)).SerializeToString()
    pid = tasks_of.call(address, "Create", request, task_v2_pb2.CreateTaskResponse).pid
    try:
        yield Created("second", pid, address, root / "second")
    finally:
        shutil.rmtree(bundle)


@pytest.fixture
def created(clean: Stack) -> Iterator[Created]:
    with created_in(clean) as container:
        yield container


def test_it_is_crun_that_keeps_the_container(clean: Stack) -> None:
    start(clean, "kept")
    assert tasks_of.delegate_of(clean.containerd, "kept") == "crun"
    pid, _ = tasks_of.tasks(clean.containerd)["kept"]
    groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert len(clean.containerd.cgroups()) == len(groups), "one in each hierarchy"
    assert all(group.endswith("/kept") for group in groups)
    socket = Path(tasks_of.address(clean.containerd, "kept"))
    assert socket.exists()
    tasks_of.remove(clean.containerd, "kept")
    assert wait_until(lambda: not socket.exists())


@pytest.mark.parametrize("name", COMMANDS)
def test_run(clean: Stack, name: str) -> None:
    native, ours = (run(clean, shim, name) for shim in (STOCK_SHIM, OWN_SHIM))
    assert native == ours


def test_a_life(clean: Stack) -> None:
    assert_same(session(clean, STOCK_SHIM), session(clean, OWN_SHIM))


def test_terminal(clean: Stack) -> None:
    assert on_a_terminal(clean, STOCK_SHIM) == on_a_terminal(clean, OWN_SHIM)


def test_crun_is_executed_only_to_create(clean: Stack) -> None:
    """A container's start and end are not left to it."""
    calls = clean.directory / "calls"
    recorder = clean.directory / "crun"
    recorder.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {CRUN} "$@"\n')
    recorder.chmod(0o755)
    before = clean.runtime_config.read_text()
    clean.runtime_config.write_text(f"{before}delegate: {recorder}\n")
    try:
        image = clean.ctr_image("busybox")
        done = clean.containerd.run_with_shim(image, "short", "sh", "-c", "echo out; exit 3")
        assert (done.returncode, done.stdout) == (3, "out\n"), done.stderr
        assert wait_until(lambda: not tasks_of.bundles(clean.containerd))
    finally:
        clean.runtime_config.write_text(before)
    (call,) = calls.read_text().splitlines()
    assert " create " in call


@pytest.mark.parametrize(
    ("options", "command", "complaint"),
    [
        ((SANDBOX,), "missing-binary", "executable file `missing-binary` not found in $PATH"),
        (("--mount=type=bind,src=/missing-source,dst=/mnt,options=rbind",), "true", "/missing-source"),
    ],
)
def test_a_create_that_fails_says_what_crun_says(
    clean: Stack, options: tuple[str, ...], command: str, complaint: str
) -> None:
    image = clean.ctr_image("busybox")
    done = clean.containerd.run_with_shim(image, "failing", command, options=options)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_created_container_is_started_once(created: Created) -> None:
    fifo = created.directory / "exec.fifo"
    assert fifo.exists()
    created.start()
    assert not fifo.exists()
    with pytest.raises(StatusError, match="has been started already"):
        created.start()
    assert created.kill() == 128 + signal.SIGKILL
    assert created.delete() == 128 + signal.SIGKILL


def test_a_container_that_crun_has_started_meanwhile(created: Created) -> None:
    subprocess.run([CRUN, f"--root={created.directory.parent}", "start", created.id], check=True)
    with pytest.raises(StatusError, match="already running"):
        created.start()
    created.kill()
    created.delete()


def test_a_created_container_is_deleted_unstarted(created: Created) -> None:
    assert created.delete() == 128 + signal.SIGKILL


def test_a_container_killed_before_its_start_cannot_be_started(created: Created) -> None:
    assert created.kill() == 128 + signal.SIGKILL
    with pytest.raises(StatusError):
        created.start()
    assert created.delete() == 128 + signal.SIGKILL


def test_hooks_are_run_by_crun(clean: Stack) -> None:
    record = clean.directory / "hooks"
    words = {"poststart": "started", "poststop": "stopped"}
    hooks = {
        # it reads what it is given: crun is ended by SIGPIPE if the hook has ended before it is told the state
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > /dev/null; echo {word} >> {record}"]}]
        for kind, word in words.items()
    }
    with created_in(clean, hooks=hooks) as container:
        container.start()
        assert record.read_text() == "started\n"
        container.kill()
        container.delete()
        assert record.read_text() == "started\nstopped\n"


def test_a_program_that_obeys_sigterm(clean: Stack) -> None:
    """Its own exit status arrives."""
    log = clean.directory / "obeying"
    script = '$| = 1; $SIG{TERM} = sub { exit 4 }; print "ready\n"; sleep 1 while 1'
    options = ("--detach", f"--log-uri=file://{log}")
    done = clean.containerd.run_with_shim(clean.ctr_image("perl"), "obeying", "perl", "-e", script, options=options)
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: log.exists() and log.read_text() == "ready\n")
    clean.containerd.ctr("tasks", "kill", "--signal=SIGTERM", "obeying")
    tasks_of.wait_status(clean.containerd, "obeying", "STOPPED")
    assert tasks_of.state(tasks_of.address(clean.containerd, "obeying"), "obeying").exit_status == 4
    tasks_of.remove(clean.containerd, "obeying")


def test_resources_are_updated(clean: Stack) -> None:
    start(clean, "limited", f"--memory-limit={128 << 20}")
    (limit,) = (path / "memory.limit_in_bytes" for path in clean.containerd.cgroups() if "/memory/" in f"{path}/")
    assert limit.read_text() == f"{128 << 20}\n"
    tasks_of.update(tasks_of.address(clean.containerd, "limited"), "limited", {"memory": {"limit": 64 << 20}})
    assert limit.read_text() == f"{64 << 20}\n"


def test_a_control_group_that_the_container_has_filled_is_left_to_crun(clean: Stack) -> None:
    """A process that lives on in it is killed there."""
    start(clean, "crowded")
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "1000"], os.environ)
    try:
        for cgroup in clean.containerd.cgroups():
            (cgroup / "cgroup.procs").write_text(f"{stranger}\n")
        clean.containerd.ctr("tasks", "kill", "--signal=SIGKILL", "crowded")
        tasks_of.wait_status(clean.containerd, "crowded", "STOPPED")
        clean.containerd.ctr("tasks", "delete", "crowded")
        clean.containerd.ctr("containers", "delete", "crowded")
    finally:
        _, status = os.waitpid(stranger, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_killed_shim_takes_its_container_along(clean: Stack) -> None:
    before = tasks_of.shims(clean)
    start(clean, "orphaned")
    pid, _ = tasks_of.tasks(clean.containerd)["orphaned"]
    (shim,) = tasks_of.shims(clean) - before
    socket = Path(tasks_of.address(clean.containerd, "orphaned"))
    os.kill(shim, signal.SIGKILL)
    assert wait_until(lambda: "orphaned" not in tasks_of.tasks(clean.containerd))
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert wait_until(lambda: clean.hostd.leases() == [])
    assert wait_until(lambda: not socket.exists())
    clean.containerd.ctr("containers", "delete", "orphaned")


def test_many_at_once(clean: Stack) -> None:
    names = [f"crowd{number}" for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as executor:
        list(executor.map(lambda name: start(clean, name), names))
    assert {tasks_of.tasks(clean.containerd)[name][1] for name in names} == {"RUNNING"}
    assert {tasks_of.delegate_of(clean.containerd, name) for name in names} == {"crun"}
    assert len(clean.hostd.leases()) == AT_ONCE
    with ThreadPoolExecutor(AT_ONCE) as executor:
        list(executor.map(lambda name: tasks_of.remove(clean.containerd, name), names))
