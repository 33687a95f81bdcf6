"""Looking at containers that run below a shim: their tasks, their shims, the events they cause."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import termios
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd import task_v2_pb2
from shim.runtime import ROOT_NAME
from shim.service import SERVICE_NAMES
from shim.ttrpc.client import Client
from tests.harness.containerd import Containerd
from tests.harness.paths import CTR
from tests.harness.patience import PATIENCE
from tests.harness.process import clean_environment, wait_until
from tests.harness.stack import Stack

SHIM_NAME = "shim-teemate-v2"
SOCKETS = Path("/run/containerd/s")
RECORDS = {"runc": "state.json", "crun": "status"}


def tasks(containerd: Containerd) -> dict[str, tuple[int, str]]:
    """`ctr tasks ls`: pid and status by container."""
    lines = containerd.ctr("tasks", "ls").stdout.splitlines()[1:]
    return {words[0]: (int(words[1]), words[2]) for words in (line.split() for line in lines)}


def wait_status(containerd: Containerd, container: str, status: str, *, seconds: float = PATIENCE) -> None:
    if not wait_until(lambda: tasks(containerd).get(container, (0, ""))[1] == status, seconds=seconds):
        raise AssertionError(f"{container} is not {status}: {tasks(containerd)}")


def terminal_size(containerd: Containerd, container: str) -> tuple[int, int]:
    """Rows and columns of the terminal that a task's first process has as its standard input, seen from outside."""
    pid, _ = tasks(containerd)[container]
    terminal = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NOCTTY)
    try:
        rows, columns = termios.tcgetwinsize(terminal)
    finally:
        os.close(terminal)
    return rows, columns


def remove(containerd: Containerd, *containers: str) -> None:
    """Kill and delete, whatever state they are in."""
    for container in containers:
        containerd.ctr("tasks", "delete", "--force", container)
        containerd.ctr("containers", "delete", container)


def shims(stack: Stack) -> set[int]:
    return {pid for pid, info in stack.processes().items() if info.name == SHIM_NAME and info.state != "Z"}


def delegate_root(containerd: Containerd, namespace: str = "default") -> Path:
    """Where the delegate keeps what it knows, a directory for each container."""
    return containerd.directory / "state" / ROOT_NAME / namespace


def delegate_containers(containerd: Containerd, namespace: str = "default") -> set[str]:
    root = delegate_root(containerd, namespace)
    return {entry.name for entry in root.iterdir()} if root.exists() else set()


def delegate_of(containerd: Containerd, container: str) -> str:
    """Which delegate it is, by the record that it keeps of the container."""
    directory = delegate_root(containerd) / container
    (name,) = (name for name, record in RECORDS.items() if (directory / record).exists())
    return name


def call(address: str, method: str, request: Any, response_type: Any) -> Any:
    """Ask a shim by its own socket. Raises StatusError."""

    async def ask() -> Any:
        client = await Client.connect(address)
        try:
            return await client.call(SERVICE_NAMES[0], method, request, response_type, timeout=PATIENCE)
        finally:
            await client.close()

    return asyncio.run(ask())


def state(address: str, container: str) -> task_v2_pb2.StateResponse:
    """What a shim itself says of its container."""
    request = task_v2_pb2.StateRequest(id=container)
    response: task_v2_pb2.StateResponse = call(address, "State", request, task_v2_pb2.StateResponse)
    return response


def stats(address: str, container: str) -> Any:
    """The metrics (an Any) that a shim itself gives for its container."""
    return call(address, "Stats", task_v2_pb2.StatsRequest(id=container), task_v2_pb2.StatsResponse).stats


def update(address: str, container: str, resources: dict[str, Any]) -> None:
    """Set a container's limits; `resources` as in the OCI spec."""
    request = task_v2_pb2.UpdateTaskRequest(id=container)
    request.resources.value = json.dumps(resources).encode()
    call(address, "Update", request, Empty)


def bundle_root(containerd: Containerd) -> Path:
    return containerd.directory / "state" / "io.containerd.runtime.v2.task" / "default"


def address(containerd: Containerd, container: str) -> str:
    """Where the shim of a container listens."""
    return (bundle_root(containerd) / container / "address").read_text().removeprefix("unix://")


def bundles(containerd: Containerd) -> set[str]:
    root = bundle_root(containerd)
    return {entry.name for entry in root.iterdir()} if root.exists() else set()


def traces(containerd: Containerd) -> set[str]:
    """What containers have in files: bundles, the delegate's directories, the sockets of their shims."""
    own = {address(containerd, bundle) for bundle in bundles(containerd)}
    return bundles(containerd) | delegate_containers(containerd) | own


class Events:
    """What containerd announces while the context lasts."""

    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd
        self._seen: list[tuple[str, dict[str, Any]]] = []
        self._marks = 0

    def __enter__(self) -> Events:
        self._process = subprocess.Popen(
            [CTR, "--address", str(self._containerd.socket), "events"],
            stdout=subprocess.PIPE,
            env=clean_environment(),
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        # It subscribes some time after its start: an event of our own shows that it has.
        while not self._mark_is_seen(seconds=1):
            assert self._process.poll() is None and self._marks < PATIENCE, "ctr events tells nothing"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # What containerd has been told of before comes before this one.
            assert self._mark_is_seen(seconds=PATIENCE), "ctr events tells nothing any more"
        finally:
            self._process.terminate()
            self._process.wait()
            self._reader.join()
            assert self._process.stdout
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            words = line.split(maxsplit=6)
            self._seen.append((words[5], json.loads(words[6])))

    def _mark_is_seen(self, *, seconds: float) -> bool:
        self._marks += 1
        mark = f"m{self._marks}"
        self._containerd.ctr("namespaces", "label", "default", f"mark={mark}")
        return wait_until(
            lambda: any(content.get("labels", {}).get("mark") == mark for _, content in list(self._seen)),
            seconds=seconds,
        )

    def wait_for(self, container: str, *topics: str) -> None:
        """A shim tells of what it does some time after it has answered: wait until it has told these."""
        if not wait_until(lambda: not Counter(topics) - Counter(self.topics(container))):
            raise AssertionError(f"{container}: {topics} expected, {self.topics(container)} announced")

    def of(self, container: str) -> list[tuple[str, dict[str, Any]]]:
        """Topics below /tasks/ and their contents, for one container."""
        return [
            (topic.removeprefix("/tasks/"), content)
            for topic, content in list(self._seen)
            if topic.startswith("/tasks/") and content.get("container_id") == container
        ]

    def topics(self, container: str) -> list[str]:
        return [topic for topic, _ in self.of(container)]
