"""The shim under each version of containerd that it is for: a task's life, a pod's life, and containerd's restart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.containerd import OWN_SHIM, STOCK_SHIM
from tests.harness.containerd_versions import VERSIONS
from tests.harness.cri import Cri, CriContainerd
from tests.harness.process import Daemon, clean_environment, wait_until
from tests.integration.cri_session import session
from tests.integration.shim_session import outliving_output
from tests.integration.version_stage import Stage, stage_of


@pytest.fixture(scope="module", params=VERSIONS, ids=str)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage_of(request.param) as running:
        yield running


@pytest.fixture
def tidy(stage: Stage) -> Iterator[Stage]:
    with stage.checked():
        yield stage


class Task:
    """One detached container by ctr."""

    def __init__(self, containerd: CriContainerd, image: str, shim: str) -> None:
        self._containerd = containerd
        self._image = image
        self._shim = shim

    def ctr(self, *words: str) -> tuple[int, str]:
        done = self._containerd.ctr(*words)
        return done.returncode, done.stdout + done.stderr

    def start(self, *command: str) -> int:
        done = self._containerd.run_with_shim(self._image, "task", *command, shim=self._shim, options=("--detach",))
        return done.returncode

    def state(self) -> str:
        rows = (line.split() for line in self.ctr("tasks", "ls")[1].splitlines()[1:])
        return next((row[-1] for row in rows if row[0] == "task"), "gone")

    def execute(self, *command: str) -> tuple[int, str]:
        return self.ctr("tasks", "exec", "--exec-id=other", "task", *command)

    def end(self, signal: str) -> bool:
        self.ctr("tasks", "kill", f"--signal={signal}", "task")
        return wait_until(lambda: self.state() == "STOPPED")

    def delete(self) -> tuple[str, int]:
        """What ctr says of the status of init, and the result of deleting the container."""
        said = re.search(r"exit code \d+", self.ctr("tasks", "delete", "task")[1])
        return said[0] if said else "", self.ctr("containers", "delete", "task")[0]


def life(stage: Stage, shim: str) -> dict[str, Any]:
    containerd = stage.containerd
    name = containerd.image("busybox", namespace="default")
    task = Task(containerd, name, shim)
    seen: dict[str, Any] = {}
    command = outliving_output(shim, "echo out; echo err >&2; exit 5")
    short = containerd.run_with_shim(name, "short", *command, shim=shim)
    seen["run"] = (short.returncode, short.stdout, short.stderr)
    seen["start"] = (task.start("sleep", "1000"), task.state())
    seen["exec"] = task.execute(*outliving_output(shim, "echo in; exit 3"))
    seen["pause"] = (task.ctr("tasks", "pause", "task"), task.state())
    seen["resume"] = (task.ctr("tasks", "resume", "task"), task.state())
    seen["metrics"] = task.ctr("tasks", "metrics", "task")[0]
    seen["end"] = (task.end("SIGKILL"), task.delete(), task.state())
    return seen


def test_a_tasks_life_is_that_with_the_stock_shim(tidy: Stage) -> None:
    expected = life(tidy, STOCK_SHIM)
    assert expected["run"] == (5, "out\n", "err\n") and expected["exec"] == (3, "in\n")
    assert life(tidy, OWN_SHIM) == expected


def test_a_pods_life_is_that_with_runc(tidy: Stage) -> None:
    with Cri(tidy.containerd) as cri:
        expected = session(cri, tidy.stack, "runc")
        assert expected["shims"] == 1
        assert session(cri, tidy.stack, "teemate") == expected


MUST_BE_TOLD = [
    "/tasks/create",
    "/tasks/start",
    "/tasks/exec-added",
    "/tasks/exec-started",
    "/tasks/exit",
    "/tasks/exit",
    "/tasks/delete",
]


def topics(stage: Stage, shim: str, *, until: str) -> list[str]:
    """Of the events that `ctr events` prints while a container runs and executes one more program."""
    containerd = stage.containerd
    log = stage.stack.directory / "events.log"
    log.unlink(missing_ok=True)
    listener = Daemon(
        name="ctr events",
        argv=[containerd.programs.ctr, "--address", containerd.socket, "events"],
        log=log,
        environment=clean_environment(),
    )
    try:
        # Only what happens from now on is told: go on when it listens.
        assert wait_until(lambda: _tells(containerd, listener), every=0.2)
        task = Task(containerd, containerd.image("busybox", namespace="default"), shim)
        assert task.start("sleep", "1000") == 0
        assert task.execute("true") == (0, "")
        assert task.end("SIGKILL")
        assert task.delete() == ("exit code 137", 0)
        assert wait_until(lambda: until in log.read_text()), log.read_text()
    finally:
        listener.stop()
    words = (line.split() for line in log.read_text().splitlines())
    return [topic for row in words for topic in row if topic.startswith("/tasks/")]


def _tells(containerd: CriContainerd, listener: Daemon) -> bool:
    containerd.ctr("namespaces", "label", "default", "asked=again")
    return listener.log.exists() and "/namespaces/" in listener.log.read_text()


def test_events(tidy: Stage) -> None:
    assert topics(tidy, OWN_SHIM, until="/tasks/delete") == MUST_BE_TOLD
    # The stock shim may end before it has told of the task's deletion.
    told = topics(tidy, STOCK_SHIM, until="/containers/delete")
    assert [topic for topic in told if topic != "/tasks/delete"] == MUST_BE_TOLD[:-1]


@pytest.mark.parametrize("shim", [STOCK_SHIM, OWN_SHIM])
def test_containerd_is_restarted(tidy: Stage, shim: str) -> None:
    containerd = tidy.containerd
    task = Task(containerd, containerd.image("busybox", namespace="default"), shim)
    assert task.start("sleep", "1000") == 0
    assert containerd.daemon
    containerd.daemon.kill()
    containerd.start()
    assert task.state() == "RUNNING"
    assert task.execute("echo", "still there") == (0, "still there\n")
    assert task.end("SIGKILL")
    assert task.delete() == ("exit code 137", 0)
