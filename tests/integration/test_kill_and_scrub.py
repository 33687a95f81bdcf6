"""One compartment, tenants killed at random moments: after each scrub every byte but the TCSs' is zero."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enclave_host import layout
from enclave_host.attach_protocol import AttachType, Message, receive_packet, send_packet
from enclave_host.image import load_image
from tests.harness import solo
from tests.harness.patience import PATIENCE
from tests.harness.process import wait_until

ROOT = Path(__file__).resolve().parents[2]
MATE = ROOT / "build" / "mate"
PROGRAMS = ROOT / "build" / "programs"
THREADS = 12
KILLS = 25
LONGEST_LIFE = 0.12
SCRUBBED_SIZE = 24

VICTIMS = {
    "threads come and go": (PROGRAMS / "glibc-dynamic/threads",),
    "signal storm": (PROGRAMS / "glibc-dynamic/thread_edges", "storm"),
    "vector registers": (PROGRAMS / "musl-static/registers", "float"),
    "system calls": (PROGRAMS / "musl-static/bench_syscalls",),
}


class Compartment:
    """Memfds as the daemon makes them, one of them the compartment that all tenants share."""

    def __init__(self) -> None:
        image = load_image(ROOT / "build" / "libos.elf")
        self.memory = solo.compartment_memfd(image, index=0, threads=THREADS)
        grant = solo.grant(image, index=0, threads=THREADS, memory=1 << 30, flags=solo.FLAG_SOFTWARE_MODEL)
        self.descriptors = [solo.sealed_memfd(grant), solo.image_memfd(image), self.memory]
        blocks = (layout.thread_block(0, slot) for slot in range(THREADS))
        self._tcs = {block.tcs - layout.compartment_offset(0) for block in blocks}

    def run(self, command: tuple[object, ...], *, until: Callable[[], object]) -> None:
        """A tenant, killed when that returns."""
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, channel:
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in (*self.descriptors, channel.fileno())]

            def place_descriptors() -> None:
                for number, fd in enumerate(high, start=3):
                    os.dup2(fd, number)

            arguments = [str(MATE), "--lease-fd=3", "--", *map(str, command)]
            process = subprocess.Popen(
                arguments, preexec_fn=place_descriptors, close_fds=False, stdout=subprocess.DEVNULL
            )
            until()
            process.kill()
            process.wait()
            for fd in high:
                os.close(fd)

    def dirty_pages(self) -> list[str]:
        dirty = []
        position, size = 0, os.fstat(self.memory).st_size
        while position < size:
            try:
                start = os.lseek(self.memory, position, os.SEEK_DATA)
            except OSError:  # no more data
                break
            position = os.lseek(self.memory, start, os.SEEK_HOLE)
            for page in range(start, position, 4096):
                if page not in self._tcs and os.pread(self.memory, 4096, page).strip(b"\0"):
                    dirty.append(hex(page))
        return dirty


@pytest.fixture
def janitor() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        process = subprocess.Popen([MATE, "janitor"], preexec_fn=lambda: os.dup2(theirs.fileno(), 3), close_fds=False)
        theirs.close()
        yield ours
    process.wait(timeout=PATIENCE)


@pytest.mark.root
@pytest.mark.parametrize("victim", VICTIMS)
def test_nothing_is_left(janitor: socket.socket, victim: str) -> None:
    compartment = Compartment()
    moments = random.Random(victim)
    try:
        for round_number in range(KILLS):
            moment = moments.random() ** 2 * LONGEST_LIFE
            compartment.run(VICTIMS[victim], until=lambda moment=moment: time.sleep(moment))  # type: ignore[misc]
            send_packet(janitor, Message(AttachType.SCRUB).pack(), compartment.descriptors)
            reply, _, _ = receive_packet(janitor)
            assert len(reply) == SCRUBBED_SIZE, f"round {round_number}: {reply!r}"
            assert compartment.dirty_pages() == [], f"round {round_number}"
    finally:
        for fd in compartment.descriptors:
            os.close(fd)


@pytest.mark.root
def test_the_search_finds_a_living_tenant(janitor: socket.socket) -> None:
    compartment = Compartment()

    def is_dirty() -> bool:
        return len(compartment.dirty_pages()) > 10

    compartment.run((PROGRAMS / "musl-static/bench_syscalls",), until=lambda: wait_until(is_dirty))
    assert is_dirty()
    for fd in compartment.descriptors:
        os.close(fd)
