"""Mates and janitors without a daemon, for tests: one compartment that outlives the processes that lease it."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enclave_host import layout
from enclave_host.attach_protocol import AttachType, Message, pack_prepare, receive_packet, send_packet, unpack_done
from enclave_host.image import load_image
from tests.harness import solo
from tests.harness.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
MATE = ROOT / "build" / "mate"
LIBOS = ROOT / "build" / "libos.elf"
PAGE = 4096
_HIGH_FD = 200


def build() -> None:
    for folder in ("enclave", "mate"):
        subprocess.run(["make", "--silent", "-C", ROOT / folder, f"BUILD={ROOT / 'build'}"], check=True)


def _is_tcs(offset: int) -> bool:
    within = offset - layout.THREADS_OFFSET
    return 0 <= within < layout.THREADS_MAX * layout.THREAD_STRIDE and within % layout.THREAD_STRIDE == 0


@dataclass(frozen=True)
class Compartment:
    """Grant, image and compartment memfd."""

    grant: int
    image: int
    memory: int

    @classmethod
    def create(
        cls,
        *,
        image: Path = LIBOS,
        index: int = 0,
        threads: int = 8,
        flags: int = solo.FLAG_SOFTWARE_MODEL,
        cpuid: bytes = b"",
    ) -> Compartment:
        content = load_image(image)
        grant = solo.grant(content, index=index, threads=threads, memory=1 << 30, flags=flags)
        return cls(
            solo.sealed_memfd(grant + cpuid),
            solo.image_memfd(content),
            solo.compartment_memfd(content, index=index, threads=threads),
        )

    def close(self) -> None:
        for fd in (self.grant, self.image, self.memory):
            os.close(fd)

    def data(self) -> Iterator[tuple[int, bytes]]:
        """Offset and content of each page that is not a hole."""
        position = 0
        while True:
            try:
                start = os.lseek(self.memory, position, os.SEEK_DATA)
            except OSError:
                return
            position = os.lseek(self.memory, start, os.SEEK_HOLE)
            for offset in range(start, position, PAGE):
                yield offset, os.pread(self.memory, PAGE, offset)

    def left_over(self) -> list[int]:
        """Offsets of pages that hold anything, but for TCSs."""
        return [offset for offset, page in self.data() if any(page) and not _is_tcs(offset)]

    def spawn(
        self, *program: str | Path, channel: socket.socket | None = None, before: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        """A mate that runs the program. Without a channel its children get no lease."""
        nobody, unanswered = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        nobody.close()
        # out of the way of the numbers 3.., which dup2 sets
        fds = (self.grant, self.image, self.memory, (channel or unanswered).fileno())
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD) for fd in fds]

        def place() -> None:
            for number, fd in enumerate(high, start=3):
                os.dup2(fd, number)
            if before:
                before()

        try:
            return subprocess.Popen(
                [MATE, "--lease-fd=3", "--", *program],
                preexec_fn=place,
                close_fds=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            for fd in high:
                os.close(fd)
            unanswered.close()

    def run(
        self,
        *program: str | Path,
        channel: socket.socket | None = None,
        before: Callable[[], None] | None = None,
        limit: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        with self.spawn(*program, channel=channel, before=before) as process:
            try:
                output, errors = process.communicate(timeout=limit)
            finally:
                process.kill()
        return subprocess.CompletedProcess([str(part) for part in program], process.returncode, output, errors)


SCRUB = Message(AttachType.SCRUB)


class Janitor:
    """`mate janitor` and our end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.process = process
        self._channel = channel

    def ask(self, compartment: Compartment, request: Message = SCRUB) -> Message:
        fds = (compartment.grant, compartment.image, compartment.memory)
        send_packet(self._channel, request.pack(), fds)
        return Message.unpack(receive_packet(self._channel)[0])

    def prepare(self, compartment: Compartment, memory: int) -> int:
        answer = self.ask(compartment, Message(AttachType.PREPARE, pack_prepare(memory)))
        assert answer.type is AttachType.PREPARED
        assert answer.status == 0, answer.body
        return unpack_done(answer.body)

    def scrub(self, compartment: Compartment) -> int:
        answer = self.ask(compartment)
        assert answer.type is AttachType.SCRUBBED
        assert answer.status == 0, answer.body
        return unpack_done(answer.body)


@contextmanager
def janitor() -> Iterator[Janitor]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    process = subprocess.Popen([MATE, "janitor"], preexec_fn=lambda: os.dup2(high, 3), close_fds=False)
    os.close(high)
    theirs.close()
    try:
        yield Janitor(process, ours)
    finally:
        ours.close()
        process.wait(timeout=PATIENCE)
