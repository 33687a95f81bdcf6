"""Pods through containerd's CRI plug-in: what a kubelet sees with the handler teemate is what it sees with runc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import cri_pb2 as pb
from shim.address import Address
from shim.runtime import ROOT_NAME
from tests.harness.cri import NAMESPACE, Cri, CriContainerd, Pod
from tests.harness.cri_stream import DATA, PORT_ERROR, RESIZE, STDERR, STDOUT
from tests.harness.images import build_programs
from tests.harness.leaks import KEPT_BYTES_PER_COMPARTMENT, assert_nothing_leaked, compartments_touched, holdings
from tests.harness.mounts import mounts_under
from tests.harness.patience import GRACE
from tests.harness.process import MARKER, clean_environment, wait_until
from tests.harness.stack import Stack
from tests.integration.cri_session import POLITE, SHIM_PROCESS, exited, outcome, refusal, session, shims


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    build_programs()
    with Stack(with_containers=False) as running:
        yield running


@pytest.fixture(scope="module")
def containerd(stack: Stack) -> Iterator[CriContainerd]:
    environment = clean_environment({MARKER: stack.mark} | stack.runtime_environment)
    running = CriContainerd(directory=stack.directory / "k", environment=environment)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def cri(stack: Stack, containerd: CriContainerd) -> Iterator[Cri]:
    """A client, with the check that nothing of its pods is left behind."""
    assert wait_until(lambda: not any(shims(stack, handler) for handler in SHIM_PROCESS))  # they end after their answer
    before = holdings(stack)
    pods: list[Pod] = []
    with Cri(containerd, on_pod=pods.append) as client:
        yield client
        assert (client.pods(), client.containers()) == ([], [])
    assert_nothing_leaked(stack, before, kept_bytes=KEPT_BYTES_PER_COMPARTMENT * compartments_touched(stack))
    assert not list((containerd.directory / "state/io.containerd.runtime.v2.task" / NAMESPACE).glob("*"))
    for pod in pods:
        path = shim_socket(containerd, pod)
        if pod.handler == "runc":
            path.unlink(missing_ok=True)  # a killed stock shim leaves it
        assert not path.exists()


def shim_socket(containerd: CriContainerd, pod: Pod) -> Path:
    return Address.of(grpc_address=str(containerd.socket), namespace=NAMESPACE, group=pod.id).path


def test_a_pods_life_is_that_with_runc(cri: Cri, stack: Stack) -> None:
    expected = session(cri, stack, "runc")
    assert expected["shims"] == 1 and expected["exec"] == (3, b"out\n", b"err\n") and expected["memory"]
    assert session(cri, stack, "teemate") == expected


AT_A_TERMINAL = """
import os, sys, time
while os.get_terminal_size(0) != (91, 37):
    time.sleep(0.1)
print("sized", flush=True)
print("got", sys.stdin.readline(), end="", flush=True)
sys.exit(5)
"""


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_streams_of_an_exec(cri: Cri, handler: str) -> None:
    """`kubectl exec -i`, and `-it` with a window size."""
    with cri.pod(handler) as pod:
        container = cri.run(pod, "one", "busybox", "sleep", "1000")
        script = "read line; echo got $line; echo complaint >&2; exit 3"
        with cri.exec_stream(container, "sh", "-c", script) as stream:
            stream.send(b"this\n")
            status = stream.status()
            assert (stream.received[STDOUT], stream.received[STDERR]) == (b"got this\n", b"complaint\n")
            assert status["status"] == "Failure"
            assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        other = cri.run(pod, "two", "python", "python3", "-c", "import time; time.sleep(1000)")
        with cri.exec_stream(other, "python3", "-c", AT_A_TERMINAL, tty=True) as stream:
            stream.send(b'{"Width": 91, "Height": 37}', channel=RESIZE)
            stream.expect(b"sized\r\n")  # the size and the input go different ways, and neither waits for the other
            stream.send(b"this\n")
            assert stream.status()["details"]["causes"] == [{"reason": "ExitCode", "message": "5"}]
            assert stream.received[STDOUT].endswith(b"got this\r\n"), stream.received


# Answers each line; detached from and attached to again it goes on.
ANSWERING = (
    'echo ready; while read line; do case $line in end) exit 4;; esac; echo "got $line"; echo "saw $line" >&2; done'
)


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_attach(cri: Cri, handler: str) -> None:
    """`kubectl attach -i`: it may leave and come again; the log has it all."""
    with cri.pod(handler) as pod:
        container = cri.create(pod, "one", "busybox", "sh", "-c", ANSWERING, stdin=True)
        cri.start(container)
        with cri.attach(container) as first:
            first.send(b"this\n")
            first.expect(b"got this\n")
            first.expect(b"saw this\n", channel=STDERR)
        with cri.attach(container) as second:
            second.send(b"that\n")
            second.expect(b"got that\n")
            second.expect(b"saw that\n", channel=STDERR)
            second.send(b"end\n")
            assert second.status()["status"] == "Success"  # of the attachment
        assert wait_until(lambda: exited(cri, container))
        assert outcome(cri, container) == ("CONTAINER_EXITED", 4, "Error")
        assert sorted(pod.whole_log("one", lines=5)) == [
            "stderr F saw that",
            "stderr F saw this",
            "stdout F got that",
            "stdout F got this",
            "stdout F ready",
        ]


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_attach_to_a_terminal(cri: Cri, handler: str) -> None:
    """`kubectl attach -it`: the window's size is the client's."""
    with cri.pod(handler) as pod:
        container = cri.create(pod, "one", "python", "python3", "-c", AT_A_TERMINAL, stdin=True, tty=True)
        cri.start(container)
        with cri.attach(container, tty=True) as stream:
            stream.send(b'{"Width": 91, "Height": 37}', channel=RESIZE)
            stream.expect(b"sized\r\n")
            stream.send(b"this\n")
            stream.expect(b"got this\r\n")
        assert wait_until(lambda: exited(cri, container))
        assert outcome(cri, container) == ("CONTAINER_EXITED", 5, "Error")


SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(100):
            connection.sendall(data.upper())
"""


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_a_forwarded_port(cri: Cri, handler: str) -> None:
    """`kubectl port-forward`: the plug-in's own work in the pod's network, to which a server in an enclave listens."""
    with cri.pod(handler) as pod:
        cri.run(pod, "server", "python", "python3", "-c", SERVER)
        (line,) = pod.whole_log("server", lines=1)
        port = int(line.removeprefix("stdout F "))
        for text in (b"once", b"and again"):
            with cri.forward(pod, port) as stream:
                stream.send(text)
                stream.expect(port.to_bytes(2, "little") + text.upper(), channel=DATA)
                assert stream.received[PORT_ERROR] in (b"", port.to_bytes(2, "little"))


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_stats_of_a_pod_and_its_containers(cri: Cri, handler: str) -> None:
    with cri.pod(handler) as pod:
        containers = [cri.run(pod, name, "busybox", "sleep", "1000") for name in ("one", "two")]
        listed = cri.stats_of_all(pod)
        assert {each.attributes.id for each in listed} == set(containers)
        whole = cri.pod_stats(pod)
        assert (whole.attributes.id, whole.attributes.metadata.name) == (pod.id, pod.config.metadata.name)
        assert {each.attributes.id for each in whole.linux.containers} == set(containers)
        for each in (*listed, *whole.linux.containers):
            assert each.cpu.usage_core_nano_seconds.value > 0 and each.cpu.timestamp > 0
            assert each.memory.working_set_bytes.value > 0
        assert whole.linux.memory.working_set_bytes.value > 0


def test_a_missing_program_ends_like_a_shells(cri: Cri) -> None:
    """runc refuses at the start. Here it is the mate that looks, in the container: 127, and the reason in the log."""
    with cri.pod("teemate") as pod:
        container = cri.run(pod, "missing", "busybox", "/nothing/here")
        assert wait_until(lambda: exited(cri, container))
        assert outcome(cri, container) == ("CONTAINER_EXITED", 127, "Error")
        said = pod.whole_log("missing", lines=1)
        assert [line for line in said if line.startswith("stderr F ") and "/nothing/here" in line]
        other = cri.run(pod, "other", "busybox", "sleep", "1000")
        status, output, errors = cri.execute(other, ["/nothing/here"])
        assert (status, output) == (127, b"") and b"/nothing/here" in errors


def lease_of(stack: Stack, container: str) -> dict[str, Any]:
    (found,) = (lease for lease in stack.hostd.leases() if lease["container"] == f"{NAMESPACE}/{container}")
    return found


def test_one_shim_a_pod_and_no_compartment_for_its_pause_container(
    cri: Cri, containerd: CriContainerd, stack: Stack
) -> None:
    with cri.pod("teemate") as pod:
        (shim,) = shims(stack)
        assert stack.hostd.leases() == []
        containers = [cri.run(pod, name, "busybox", "sleep", "1000") for name in ("one", "two")]
        assert shims(stack) == [shim]
        assert len(stack.hostd.leases()) == 2
        with cri.pod("teemate") as other:
            assert len(shims(stack)) == 2 and shim_socket(containerd, other).is_socket()
        assert wait_until(lambda: shims(stack) == [shim])  # it ends after its answer
        cri.remove(containers[0])  # by force
        assert wait_until(lambda: len(stack.hostd.leases()) == 1)
        assert lease_of(stack, containers[1])["state"] == "bound"
        assert shims(stack) == [shim]


def test_annotations_of_pod_and_container(cri: Cri, stack: Stack) -> None:
    asked = {"io.teemate.pool": "small", "io.teemate.threads": "3", "example.org/other": "x"}
    with cri.pod("teemate", annotations=asked) as pod:
        plain = cri.run(pod, "plain", "busybox", "sleep", "1000")
        own = {"io.teemate.threads": "2", "io.teemate.memory": "32m"}
        special = cri.run(pod, "special", "busybox", "sleep", "1000", annotations=own)
        seen = [lease_of(stack, each) for each in (plain, special)]
        assert [(lease["pool"], lease["threads"], lease["memory_limit"]) for lease in seen] == [
            ("small", 3, 64 << 20),
            ("small", 2, 32 << 20),
        ]
        elsewhere = cri.run(
            pod, "elsewhere", "busybox", "sleep", "1000",
            annotations={"io.teemate.pool": "default", "io.teemate.threads": "0"},
        )  # fmt: skip
        assert lease_of(stack, elsewhere)["pool"] == "default"


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"io.teemate.pool": "nowhere"}, ["nowhere"]),
        ({"io.teemate.pool": "../etc"}, ["../etc"]),
        ({"io.teemate.poll": "default"}, ["io.teemate.poll", "io.teemate.pool"]),
        ({"io.teemate.threads": "many"}, ["io.teemate.threads", "many"]),
        ({"io.teemate.pool": "small", "io.teemate.threads": "5"}, ["threads", "5"]),
        ({"io.teemate.memory": "900g"}, ["memory"]),
        ({"io.teemate.mate": "/bin/sh"}, ["io.teemate.mate", "reserved"]),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("of", ["pod", "container"])
def test_bad_annotations_are_told_to_the_kubelet(
    cri: Cri, containerd: CriContainerd, stack: Stack, of: str, annotations: dict[str, str], words: list[str]
) -> None:
    with cri.pod("teemate", annotations=annotations if of == "pod" else {}) as pod:
        container = cri.create(pod, "refused", "busybox", "true", annotations=annotations if of == "container" else {})
        with pytest.raises(grpc.RpcError) as refused:
            cri.start(container)
        for word in words:
            assert word in refused.value.details()
        state, status, reason = outcome(cri, container)
        assert (state, reason) == ("CONTAINER_EXITED", "StartError") and status != 0
        assert words[0] in cri.status(container).message
        assert stack.hostd.leases() == []
        assert not (containerd.directory / "state" / ROOT_NAME / NAMESPACE / container).exists()


def test_a_full_pool(cri: Cri, stack: Stack) -> None:
    with cri.pod("teemate", annotations={"io.teemate.pool": "small"}) as pod:
        containers = [cri.run(pod, name, "busybox", "sleep", "1000") for name in ("one", "two")]
        third = cri.create(pod, "three", "busybox", "sleep", "1000")
        with pytest.raises(grpc.RpcError, match="small"):
            cri.start(third)
        cri.stop(containers[0])
        assert wait_until(lambda: len(stack.hostd.leases()) == 1)
        again = cri.run(pod, "four", "busybox", "sleep", "1000")
        assert outcome(cri, again)[0] == "CONTAINER_RUNNING"


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_the_shim_is_killed(cri: Cri, containerd: CriContainerd, stack: Stack, handler: str) -> None:
    """The pod is over: containers have exited, the leases are back, and the kubelet can clean up and start anew."""
    with cri.pod(handler) as pod:
        containers = [cri.run(pod, name, "busybox", "sleep", "1000") for name in ("one", "two")]
        (shim,) = shims(stack, handler)
        os.kill(shim, signal.SIGKILL)
        assert wait_until(lambda: all(exited(cri, each) for each in containers))
        # The plug-in's own 255: it has lost its connection before containerd hears the status from the shim's binary.
        assert [outcome(cri, each) for each in containers] == [("CONTAINER_EXITED", 255, "Error")] * 2
        assert wait_until(lambda: cri.pod_status(pod).state == pb.SANDBOX_NOTREADY)
        assert wait_until(lambda: not stack.hostd.leases())
        assert wait_until(lambda: not (containerd.directory / "state" / ROOT_NAME / NAMESPACE / pod.id).exists())
    with cri.pod(handler) as pod:
        assert cri.execute(cri.run(pod, "anew", "busybox", "sleep", "1000"), ["echo", "anew"])[1] == b"anew\n"


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_containerd_is_restarted(cri: Cri, containerd: CriContainerd, stack: Stack, handler: str) -> None:
    with cri.pod(handler) as pod:
        sleeper = cri.run(pod, "sleeper", "busybox", "sleep", "1000")
        polite = cri.run(pod, "polite", "perl", *POLITE)
        before = shims(stack, handler)
        assert containerd.daemon
        containerd.daemon.stop()
        containerd.start()
        assert wait_until(lambda: refusal(cri.pods) is None)
        assert shims(stack, handler) == before
        assert [outcome(cri, each)[0] for each in (sleeper, polite)] == ["CONTAINER_RUNNING"] * 2
        assert cri.execute(sleeper, ["echo", "still there"]) == (0, b"still there\n", b"")
        cri.stop(polite, seconds=GRACE)
        assert outcome(cri, polite) == ("CONTAINER_EXITED", 7, "Error")
        assert pod.whole_log("polite", lines=2) == ["stdout F ready", "stdout F ending"]


@pytest.mark.parametrize("handler", ["runc", "teemate"])
def test_a_pod_that_shares_its_processes(cri: Cri, stack: Stack, handler: str) -> None:
    """Without a pid namespace of its own a container's children do not die with it: the shim ends them."""

    def family() -> int:
        return sum("sleep(1001)" in info.command for info in stack.processes().values())

    parent = (
        "import os, sys, time\n"
        "os.posix_spawn(sys.executable, ['python3', '-c', 'import time; time.sleep(1001)'], {})\n"
        "time.sleep(1002)"
    )
    with cri.pod(handler, shared_pids=True) as pod:
        first = cri.run(pod, "first", "busybox", "sleep", "1000")
        second = cri.run(pod, "second", "python", "python3", "-c", parent)
        assert wait_until(lambda: family() == 2)
        cri.stop(second)
        assert outcome(cri, second) == ("CONTAINER_EXITED", 137, "Error")
        assert wait_until(lambda: family() == 0)
        assert outcome(cri, first)[0] == "CONTAINER_RUNNING"


def test_the_pods_file_systems_are_unmounted(cri: Cri, containerd: CriContainerd) -> None:
    before = mounts_under(containerd.directory)
    with cri.pod("teemate") as pod:
        cri.run(pod, "one", "busybox", "sleep", "1000")
        assert len(mounts_under(containerd.directory)) > len(before)
    assert wait_until(lambda: mounts_under(containerd.directory) == before)
