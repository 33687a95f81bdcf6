"""Handles on processes: gone, reaped, reused, and their descriptors."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from enclave_host.memory_usage import process_memory
from enclave_host.process import ProcessGoneError, open_files, open_process, take_descriptor
from enclave_host.providers.base import file_identity


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


def test_descriptors_are_found_and_taken() -> None:
    reader, writer = os.pipe()
    child = subprocess.Popen(["sleep", "600"], pass_fds=[writer])
    process = open_process(child.pid)
    try:
        found = {identity: number for number, identity in open_files(child.pid)}
        try:
            copy = take_descriptor(process, found[file_identity(writer)])
        except PermissionError as error:
            pytest.skip(f"this system does not let us trace our own children: {error}")
        os.write(copy, b"through")
        assert os.read(reader, 100) == b"through"
        assert not os.get_inheritable(copy)
        os.close(copy)
        with pytest.raises(OSError, match="descriptor 999"):
            take_descriptor(process, 999)
    finally:
        process.close()
        child.kill()
        child.wait()
        os.close(reader)
        os.close(writer)


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
