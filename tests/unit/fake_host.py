"""Stand-ins for the LibOS image and the mate, so that the daemon can be tested without either."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from enclave_host.layout import ENCLAVE_BASE

PAGE = 4096
_TEXT_OFFSET = PAGE
_RODATA_OFFSET = 2 * PAGE
_SITES_OFFSET = 3 * PAGE
ENCLU_SITE = b"\x0f\x01\xd7\x66\x90"

JANITOR = """#!{python}
import mmap, os, socket, sys
from enclave_host.attach_protocol import *
assert sys.argv[1] == "janitor"
channel = socket.socket(fileno=3)
while True:
    packet, fds, _ = receive_packet(channel)
    if not packet:
        sys.exit(0)
    assert Message.unpack(packet).type == AttachType.SCRUB
    grant = LeaseGrant.unpack(os.pread(fds[0], 4096, 0))
    behaviour = os.path.exists({marker!r}) and open({marker!r}).read().strip()
    if behaviour == "crash":
        os.kill(os.getpid(), 9)
    if behaviour == "refuse":
        send_packet(channel, error_message(AttachType.SCRUBBED, 5, "cannot recover slot 0").pack())
    else:
        erased = os.fstat(fds[2]).st_blocks // 8
        with mmap.mmap(fds[2], 0) as memory:
            memory.madvise(mmap.MADV_REMOVE)
        close_all(fds)
        send_packet(channel, Message(AttachType.SCRUBBED, pack_scrubbed(erased)).pack())
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
    """A janitor that erases; a file beside it, `behaviour`, makes it crash or refuse."""
    path.write_text(JANITOR.format(python=sys.executable, marker=str(path.with_name("behaviour"))))
    path.chmod(0o755)
    path.parent.chmod(0o755)
    return path
