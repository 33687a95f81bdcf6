"""vfork, execve and calls that wait, as the mate serves them: asked for by a LibOS of one file (fake_libos/)."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from enclave_host.attach_protocol import (
    AttachGranted,
    AttachType,
    Message,
    close_all,
    error_message,
    receive_packet,
    send_packet,
)
from tests.harness.patience import PATIENCE
from tests.unit import mate_process
from tests.unit.mate_process import ROOT, Compartment

HERE = Path(__file__).resolve().parent / "fake_libos"
IMAGE = ROOT / "build" / "tests" / "fake_libos" / "fake_libos.elf"
PROGRAM = "/bin/true"  # only looked up: the fake LibOS loads nothing
EXEC_FAILED = 99


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()
    subprocess.run(["make", "--silent", "-C", HERE], check=True, stdout=subprocess.PIPE)


@pytest.fixture
def compartment() -> Iterator[Compartment]:
    compartment = Compartment.create(image=IMAGE)
    yield compartment
    compartment.close()


@contextmanager
def daemon(*, refusal: str | None = None) -> Iterator[tuple[socket.socket, list[int]]]:
    """The mate's end of a lease channel, and the ids of the processes that asked for a lease."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    lent = Compartment.create(image=IMAGE, index=1)
    asked: list[int] = []

    def serve() -> None:
        while True:
            packet, descriptors, sender = receive_packet(ours)
            if not descriptors or sender is None:
                return
            assert Message.unpack(packet).type is AttachType.CHILD
            asked.append(sender)
            with socket.socket(fileno=descriptors[0]) as own:
                if refusal:
                    send_packet(own, error_message(AttachType.CHILD, 11, refusal).pack())
                else:
                    granted = Message(AttachType.CHILD, AttachGranted(7).pack())
                    send_packet(own, granted.pack(), (lent.grant, lent.image, lent.memory, theirs.fileno()))
            close_all(descriptors[1:])

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield theirs, asked
    finally:
        theirs.send(b"end")
        server.join()
        ours.close()
        theirs.close()
        lent.close()


def test_exec_keeps_the_process_and_the_lease(compartment: Compartment) -> None:
    with compartment.spawn(PROGRAM, "exec", PROGRAM, "exec", PROGRAM, "exit", "42") as process:
        assert process.wait(timeout=PATIENCE) == 42


def test_vfork_child_exits(compartment: Compartment) -> None:
    result = compartment.run(PROGRAM, "vexit", "17")
    assert (result.returncode, result.stderr) == (17, "")


def test_vfork_child_executes_under_a_lease_of_its_own(compartment: Compartment) -> None:
    with daemon() as (channel, asked):
        result = compartment.run(PROGRAM, "spawn", PROGRAM, "exit", "43", channel=channel)
    assert (result.returncode, result.stderr) == (43, "")
    assert len(asked) == 1 and asked[0] != os.getpid()


def test_vfork_child_execs_twice(compartment: Compartment) -> None:
    with daemon() as (channel, asked):
        result = compartment.run(PROGRAM, "spawn", PROGRAM, "exec", PROGRAM, "exit", "44", channel=channel)
    assert (result.returncode, result.stderr) == (44, "")
    assert len(asked) == 1  # the second program inherits the lease


def test_no_lease_for_the_child(compartment: Compartment) -> None:
    with daemon(refusal="pool default is full: raise max_enclaves") as (channel, _):
        result = compartment.run(PROGRAM, "spawn", PROGRAM, "exit", "43", channel=channel)
    assert result.returncode == EXEC_FAILED
    assert result.stderr == "teemate: execve: no lease for the new program: pool default is full: raise max_enclaves\n"


def test_no_daemon(compartment: Compartment) -> None:
    result = compartment.run(PROGRAM, "spawn", PROGRAM, "exit", "43")
    assert result.returncode == EXEC_FAILED
    assert "no answer from the host daemon" in result.stderr


def test_a_signal_ends_only_calls_that_wait(compartment: Compartment) -> None:
    result = compartment.run(PROGRAM, "signalled", mate_process.MATE)
    assert (result.returncode, result.stderr) == (0, "")
