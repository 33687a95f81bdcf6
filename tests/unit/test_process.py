"""Handles on processes: gone, reaped, reused, and their descriptors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from enclave_host.memory_usage import process_memory
from enclave_host.process import Process, ProcessGoneError, open_process, take_descriptor, take_files
from enclave_host.providers.base import FileIdentity, file_identity
from tests.harness.patience import PATIENCE


def test_living_process_is_followed_to_its_end() -> None:
    child = subprocess.Popen(["sleep", "600"])
    process = open_process(child.pid)
    assert process.pid == child.pid and process.start_time > 0 and not process.has_ended
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.has_ended
    with pytest.raises(ProcessGoneError):  # a zombie holds nothing any more
        open_process(child.pid)
    child.wait()
    with pytest.raises(ProcessGoneError):
        open_process(child.pid)
    process.close()


def test_thread_is_no_process() -> None:
    started, end = threading.Event(), threading.Event()
    ids: list[int] = []

    def body() -> None:
        ids.append(threading.get_native_id())
        started.set()
        end.wait()

    thread = threading.Thread(target=body)
    thread.start()
    started.wait()
    try:
        with pytest.raises(ProcessGoneError):
            open_process(ids[0])
    finally:
        end.set()
        thread.join()


@contextmanager
def child_with(*fds: int) -> Iterator[Process]:
    child = subprocess.Popen(["sleep", "600"], pass_fds=fds)
    process = open_process(child.pid)
    try:
        os.close(take_descriptor(process, fds[0]))
        yield process
    except PermissionError as error:
        pytest.skip(f"this system does not let us trace our own children: {error}")
    finally:
        process.close()
        child.kill()
        child.wait()


def test_descriptors_are_found_and_taken() -> None:
    reader, writer = os.pipe()
    memory = os.memfd_create("wanted")
    with child_with(writer, memory) as process:
        wanted = file_identity(writer)
        gone = FileIdentity(device=wanted.device, inode=wanted.inode + 1000000, mount=wanted.mount)
        taken = take_files(process, {wanted, file_identity(memory), gone})
        assert taken.keys() == {wanted, file_identity(memory)}
        os.write(taken[wanted], b"through")
        assert os.read(reader, 100) == b"through"
        assert not any(os.get_inheritable(fd) for fd in taken.values())
        for fd in (*taken.values(), reader, writer, memory):
            os.close(fd)
        with pytest.raises(OSError, match="descriptor 999"):
            take_descriptor(process, 999)


def test_files_on_other_mounts_are_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that says to have the wanted device and inode, as a server of FUSE can."""
    path = tmp_path / "file"
    path.write_text("")
    fd = os.open(path, os.O_RDONLY)
    memory = os.memfd_create("wanted")
    touched: list[int] = []

    def take(_: Process, number: int) -> int:
        touched.append(number)
        return os.dup(fd)

    with child_with(fd) as process:
        monkeypatch.setattr("enclave_host.process.take_descriptor", take)
        status = os.fstat(fd)
        wanted = FileIdentity(device=status.st_dev, inode=status.st_ino, mount=file_identity(memory).mount)
        assert take_files(process, {wanted}) == {}
    assert not touched
    os.close(fd)
    os.close(memory)


def test_a_file_that_changes_place_while_it_is_taken_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    memory = os.memfd_create("wanted")
    let_go: list[int] = []
    with child_with(memory) as process:
        monkeypatch.setattr("enclave_host.process.take_descriptor", lambda *_: os.dup(fd))
        monkeypatch.setattr("enclave_host.process.close_aside", let_go.extend)
        assert take_files(process, {file_identity(memory)}) == {}
    assert len(let_go) == 1
    for number in (fd, memory, *let_go):
        os.close(number)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="needs root and /dev/fuse")
def test_a_file_of_a_silent_fuse_server_does_not_hold_us_up(tmp_path: Path) -> None:
    memory = os.memfd_create("wanted")
    program = Path(__file__).parent / "native" / "silent_fuse.py"
    child = subprocess.Popen(
        [sys.executable, program, tmp_path], pass_fds=[memory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        line = child.stdout.readline().split()
        if line[:1] != ["open"]:
            pytest.skip(f"FUSE cannot be mounted here: {' '.join(line)}")
        process = open_process(int(line[1]))
        taken: dict[FileIdentity, int] = {}
        wanted = {file_identity(memory)}
        thread = threading.Thread(target=lambda: taken.update(take_files(process, wanted)), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the daemon would wait for the server of a container's file system"
        assert taken.keys() == wanted
        for fd in taken.values():
            os.close(fd)
        process.close()
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        os.close(memory)


def test_memory_of_a_process_leaves_the_enclave_out() -> None:
    fd = os.memfd_create("teemate-compartment-0")
    os.write(fd, bytes(64 << 20))
    program = (
        "import mmap, sys; m = mmap.mmap(int(sys.argv[1]), 64 << 20); sum(m[::4096]); print('mapped', flush=True); "
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        ["python3.11", "-S", "-c", program, str(fd)], pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        assert 1 << 20 < process_memory(child.pid) < 64 << 20
        child.stdin.close()
    os.close(fd)
    assert process_memory(child.pid) == 0
