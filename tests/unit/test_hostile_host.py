# SPDX-License-Identifier: Apache-2.0
"""System call code of the LibOS against a host that lies, run natively under the address sanitizer."""

import atexit
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.harness.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
ENCLAVE = ROOT / "enclave"
FAKE = Path(__file__).parent / "hostile_host"
# What is tested. syscall.c comes with case_table.c, which includes it for its table.
SOURCES = [
    "epoll_table.c",
    "futex.c",
    "iovec.c",
    "lock_recovery.c",
    "memory_table.c",
    "passthrough.c",
    "proc_content.c",
    "proc_view.c",
    "sys_descriptor.c",
    "sys_dir.c",
    "sys_epoll.c",
    "sys_fcntl.c",
    "sys_file.c",
    "sys_ioctl.c",
    "sys_ipc.c",
    "sys_message.c",
    "sys_poll.c",
    "sys_prctl.c",
    "sys_signal.c",
    "sys_socket.c",
    "sys_stat.c",
    "sys_thread.c",
    "sys_time.c",
    "vfork.c",
    "vma.c",
]
FLAGS = [
    "-std=gnu11",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-strict-aliasing",
    "-mfsgsbase",
    "-fsanitize=address,undefined",
    "-fno-sanitize=alignment",  # the exchange buffer holds structs at any offset
    "-fno-sanitize-recover=all",
    # The table names the handlers of every family; those that are not tested here are never called.
    "-Wl,--unresolved-symbols=ignore-in-object-files",
    "-no-pie",
]


@cache
def program() -> Path:
    folder = Path(mkdtemp(prefix="hostile_host."))  # needed while tests are collected, before there are fixtures
    atexit.register(shutil.rmtree, folder)
    path = folder / "hostile_host"
    sources = [ENCLAVE / name for name in SOURCES] + sorted(FAKE.glob("*.c"))
    includes = ["-iquote", str(ENCLAVE), "-iquote", str(FAKE)]
    subprocess.run(["gcc", *FLAGS, *includes, "-o", str(path), *map(str, sources)], check=True)
    return path


def names() -> list[str]:
    return subprocess.run([program()], check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("name", names())
def test_host_is_not_believed(name: str) -> None:
    result = subprocess.run(
        [program(), name], capture_output=True, text=True, env={"ASAN_OPTIONS": "detect_leaks=0"}, timeout=PATIENCE
    )
    assert result.returncode == 0, result.stderr
