"""The `delete` action after an orderly Delete: its front answers alone, unless a dead shim has left its socket."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.containerd import task_v2_pb2
from shim.remove import KILLED, leave_answer
from tests.harness.paths import BIN
from tests.harness.process import clean_environment

ANSWER = task_v2_pb2.DeleteResponse(pid=4711, exit_status=3)


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short: it holds unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        (Path(name) / "bundle").mkdir()
        (Path(name) / "bundle" / "address").write_text(f"unix://{name}/socket")
        yield Path(name)


def delete(directory: Path, *words: str) -> task_v2_pb2.DeleteResponse:
    """What the action answers. There is no zygote: it goes to a cold interpreter unless the front answers alone."""
    bundle = directory / "bundle"
    done = subprocess.run(
        [BIN / "containerd-shim-teemate-v2", "-namespace", "unit", "-id", "gone", *words, "delete"],
        cwd=bundle,
        env=clean_environment({"TEEMATE_HOST": str(directory)}),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return task_v2_pb2.DeleteResponse.FromString(done.stdout)


@pytest.mark.parametrize("words", [(), ("-debug",), ("-bundle", "../bundle"), ("--bundle=../bundle", "-debug")])
def test_what_the_shim_has_left_is_the_answer(directory: Path, words: tuple[str, ...]) -> None:
    leave_answer(directory / "bundle", ANSWER)
    assert delete(directory, *words) == ANSWER


def test_a_shim_that_still_listens_needs_nothing(directory: Path) -> None:
    leave_answer(directory / "bundle", ANSWER)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(directory / "socket"))
        listener.listen()
        assert delete(directory) == ANSWER


def test_a_dead_shims_socket_is_not_left_to_the_front(directory: Path) -> None:
    leave_answer(directory / "bundle", ANSWER)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(directory / "socket"))
    assert delete(directory).exit_status == KILLED


def test_without_an_orderly_delete_the_action_is_done(directory: Path) -> None:
    assert delete(directory).exit_status == KILLED


def test_an_answer_that_cannot_be_left_is_no_failure(directory: Path) -> None:
    leave_answer(directory / "missing", ANSWER)
    assert not (directory / "missing").exists()
