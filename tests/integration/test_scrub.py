"""A compartment never serves twice unscrubbed: the last tenant's bytes are looked for in the memory itself."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.process import wait_until
from tests.harness.stack import Stack

CHUNK = 1 << 20
POOLS = {"default": {"compartments": 2, "threads": 8, "memory": "256MiB", "ready": 1, "maximum": 1}}


@pytest.fixture(scope="module")
def narrow() -> Iterator[Stack]:
    with Stack(pools=POOLS) as stack:
        yield stack


def pattern_of(word: str) -> bytes:
    """What tests/programs/secret.c writes: it is in no file and no argument list in this form."""
    return bytes(ord(word[index % len(word)]) ^ 0x55 for index in range(32))


def occurrences(stack: Stack, pattern: bytes) -> int:
    return sum(_count(path, pattern) for path in stack.hostd.memfds())


def _count(path: Path, pattern: bytes) -> int:
    """Hits in the allocated parts of a memfd, which is sparse."""
    found = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        position = 0
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:  # no more data
                break
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            # Not mapped: the daemon takes pages away, and to touch a hole would put one back.
            for at in range(start, position, CHUNK):
                found += os.pread(descriptor, CHUNK + len(pattern) - 1, at).count(pattern)
    finally:
        os.close(descriptor)
    return found


@pytest.mark.parametrize("end", ["end", "wait"], ids=["exits", "killed"])
def test_secrets_are_gone(narrow: Stack, end: str) -> None:
    image = narrow.docker_image("programs")
    word = secrets.token_hex(16)
    command = ("/programs/glibc-dynamic/secret", word, end)
    container = narrow.docker.check("create", "--runtime=teemate", image, *command)
    try:
        narrow.docker.check("start", container)
        assert wait_until(lambda: narrow.docker("logs", container).stdout == b"filled\n")
        if end == "wait":
            # the search does find it while the tenant lives: the model hides nothing
            assert occurrences(narrow, pattern_of(word)) > 100000
            narrow.docker.check("kill", container)
        assert narrow.docker.check("wait", container) == ("137" if end == "wait" else "0")
    finally:
        narrow.docker.check("rm", "--force", container)
    assert wait_until(lambda: narrow.hostd.leases() == [])
    assert wait_until(lambda: free(narrow) == 2)
    assert occurrences(narrow, pattern_of(word)) == 0


def free(stack: Stack) -> int:
    """Compartments that could be leased this moment."""
    return sum(int(enclave["free"]) for enclave in stack.hostd.listing("enclave", "ls"))


def test_the_next_tenant_sees_zeroes(narrow: Stack) -> None:
    """Both compartments have served; a program that reads fresh memory finds nothing in it."""
    image = narrow.docker_image("programs")
    for _ in range(4):
        done = narrow.docker.run(image, "/programs/glibc-dynamic/mappings")
        assert done.returncode == 0, done.stdout
