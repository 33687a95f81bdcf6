"""Stand-ins for the LibOS image and the mate, so that the daemon can be tested without either."""

from __future__ import annotations

import asyncio
import atexit
import functools
import gc
import queue
import re
import shutil
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from enclave_host import attach_protocol, lease_grant, packed
from enclave_host.closing import CLOSING_THREAD
from enclave_host.config import parse_config
from enclave_host.daemon import Daemon
from enclave_host.layout import ENCLAVE_BASE
from enclave_host.signing_key import GENERATED_NAME, load_signing_key
from teemate_runtime.launcher import base_interpreter
from tests.harness.patience import PATIENCE
from tests.harness.process import wait_until

T = TypeVar("T")

PAGE = 4096
_TEXT_OFFSET = PAGE
_RODATA_OFFSET = 2 * PAGE
_SITES_OFFSET = 3 * PAGE
ENCLU_SITE = b"\x0f\x01\xd7\x66\x90"

# Behind the text of the protocol's modules: it runs without rights, and could import nothing from a checkout in /root.
JANITOR = """
import mmap, sys
if sys.argv[1] == "cpuid":
    sys.stdout.buffer.write(struct.pack("<6I", 0, 0, 1, 2, 3, 4))
    sys.exit(0)
assert sys.argv[1] == "janitor"
channel = socket.socket(fileno=3)
while True:
    packet, fds, _ = receive_packet(channel)
    if not packet:
        sys.exit(0)
    request = Message.unpack(packet)
    if request.type == AttachType.PREPARE:
        (size,) = struct.unpack("<Q", request.body)
        with mmap.mmap(fds[2], size, offset=1 << 30) as memory:
            memory.madvise(23)  # MADV_POPULATE_WRITE
        close_all(fds)
        send_packet(channel, Message(AttachType.PREPARED, pack_done(size)).pack())
        continue
    assert request.type == AttachType.SCRUB
    grant = LeaseGrant.unpack(os.pread(fds[0], 4096, 0))
    if grant.pool == "crash":
        os.kill(os.getpid(), 9)
    if grant.pool == "refuse":
        send_packet(channel, error_message(AttachType.SCRUBBED, 5, "cannot recover slot 0").pack())
    else:
        erased = os.fstat(fds[2]).st_blocks // 8
        with mmap.mmap(fds[2], 0) as memory:
            memory.madvise(mmap.MADV_REMOVE)
        close_all(fds)
        send_packet(channel, Message(AttachType.SCRUBBED, pack_done(erased)).pack())
        continue
    close_all(fds)
"""


def write_image(path: Path, *, text: bytes = b"\x90" * 16 + ENCLU_SITE, writable: bool = False) -> Path:
    """A minimal LibOS-like ELF file: one text page, one read-only page, one ENCLU site."""
    names = b"\0.enclu_sites\0.shstrtab\0"
    site = ENCLAVE_BASE + text.find(ENCLU_SITE[:3])
    headers = struct.pack("<IIQQQQQQ", 1, 5, _TEXT_OFFSET, ENCLAVE_BASE, 0, len(text), len(text), PAGE)
    flags = 6 if writable else 4
    headers += struct.pack("<IIQQQQQQ", 1, flags, _RODATA_OFFSET, ENCLAVE_BASE + PAGE, 0, 64, 64, PAGE)
    sections_at = _SITES_OFFSET + 8 + len(names)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, _SITES_OFFSET, 8, 0, 0, 8, 0)
    sections += struct.pack("<IIQQQQIIQQ", 14, 3, 0, 0, _SITES_OFFSET + 8, len(names), 0, 0, 1, 0)
    elf = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    elf += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, ENCLAVE_BASE, 64, sections_at, 0, 64, 56, 2, 64, 3, 2)
    content = (elf + headers).ljust(_TEXT_OFFSET, b"\0") + text.ljust(PAGE, b"\0") + b"rodata".ljust(PAGE, b"\0")
    path.write_bytes(content + struct.pack("<Q", site) + names + sections)
    return path


def write_mate(path: Path) -> Path:
    """A janitor that erases; but it crashes at compartments of the pool `crash` and refuses those of `refuse`."""
    modules = "".join(Path(module.__file__).read_text() for module in (packed, lease_grant, attach_protocol))
    protocol = re.sub(r"^from enclave_host\..*\n", "", modules, flags=re.MULTILINE)
    path.write_text(f"#!{base_interpreter()} -IS\n{protocol}{JANITOR}")
    path.chmod(0o755)
    return path


@dataclass
class RunningDaemon:
    """A daemon in a thread of this process, with the stand-ins above. `call` runs a function in its loop."""

    directory: Path
    pools: dict[str, dict[str, object]]
    with_api: bool = False
    daemon: Daemon = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)

    def __enter__(self) -> RunningDaemon:
        self.config = parse_config(
            {
                "run_directory": str(self.run_directory),
                "state_directory": str(self.directory / "state"),
                "image": str(write_image(self.directory / "libos.elf")),
                "mate": str(write_mate(self.directory / "mate")),
                "signing_key": str(shared_key()),
                "pools": self.pools,
            }
        )
        started: queue.Queue[BaseException | None] = queue.Queue()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        error = started.get(timeout=PATIENCE)
        if error is not None:
            self._thread.join()
            raise error
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=PATIENCE)
        assert not self._thread.is_alive()

    @property
    def run_directory(self) -> Path:
        return self.directory / "run"

    def call(self, function: Callable[[Daemon], T]) -> T:
        async def run() -> T:
            return function(self.daemon)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=PATIENCE)

    def wait_until(self, condition: Callable[[Daemon], object], *, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not self.call(condition):
            assert time.monotonic() < deadline, "the daemon did not reach the state in time"
            time.sleep(0.01)

    def states(self, pool: str) -> list[str]:
        """Of all compartments, in order of enclave and index."""

        def collect(daemon: Daemon) -> list[str]:
            enclaves = daemon.pools.get(pool).enclaves
            return [c.state.value for key in sorted(enclaves) for c in enclaves[key].compartments]

        return self.call(collect)

    async def _serve(self, started: queue.Queue[BaseException | None]) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            self.daemon = Daemon(self.config)
            self.daemon.start()
            if self.with_api:
                await self.daemon.start_api()
        except BaseException as error:
            started.put(error)
            return
        started.put(None)
        await self._stop.wait()
        await self.daemon.stop()


@functools.cache
def shared_key() -> Path:
    """A signing key made once for the whole run: making one takes a second."""
    directory = Path(tempfile.mkdtemp(prefix="teemate-test-key-"))
    atexit.register(shutil.rmtree, directory)
    load_signing_key(configured=None, state_directory=directory)
    return directory / GENERATED_NAME


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def settled_descriptors() -> int:
    """The number of open descriptors once no thread of the daemon has any left to close."""
    for thread in threading.enumerate():
        if thread.name == CLOSING_THREAD:
            thread.join(PATIENCE)
    gc.collect()  # what an earlier test has let go of is not to be closed in the midst of this one
    return open_descriptors()


def descriptors_are_back(before: int) -> bool:
    """Whether no more than before are open, soon or now. Fewer are no leak: threads of earlier tests close some."""
    return wait_until(lambda: settled_descriptors() <= before)
