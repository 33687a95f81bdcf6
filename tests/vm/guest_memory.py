"""In the guest: how much of a secret the machine's memory holds, wherever it is. Needs root, and /proc/kcore.

A secret is never written down: it is made of its mask where it is needed, so that no source, argument or page of a
file is found. What is left are the searcher's own few copies.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

OWN_COPIES = 16
_KCORE = Path("/proc/kcore")
_MASK = 0x5A
_CHUNK = 1 << 18
_ELF_HEADER = struct.Struct("<32xQ14xHH")  # e_phoff, e_phentsize, e_phnum
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_NO_PHYSICAL_ADDRESS = (1 << 64) - 1


def masked(secret: bytes) -> bytes:
    return bytes(byte ^ _MASK for byte in secret)


def recipe(masked_secret: bytes, count: int) -> str:
    """A Python expression: the secret, that many times."""
    return f"bytes(b ^ {_MASK} for b in {masked_secret!r}) * {count}"


def count(masked_secret: bytes, *, enough: int | None = None) -> int:
    """Copies in memory; stops as soon as `enough` were found."""
    needle = masked(masked_secret)
    buffer = bytearray(_CHUNK)
    found = 0
    fd = os.open(_KCORE, os.O_RDONLY)
    blocks = list(_memory(fd))
    try:
        for offset, size in blocks:
            for start in range(0, size, _CHUNK):
                length = os.preadv(fd, [memoryview(buffer)[: min(_CHUNK, size - start)]], offset + start)
                found += buffer.count(needle, 0, length)
                if enough is not None and found >= enough:
                    return found
    finally:
        # The kernel copies by way of a page of its own, which it frees as it is: KASAN keeps that for a long time
        os.pread(fd, mmap.PAGESIZE, blocks[0][0])
        os.close(fd)
        buffer[:] = bytes(_CHUNK)
    return found


def _memory(fd: int) -> Iterator[tuple[int, int]]:
    """Offset and size in the file of each block of physical memory."""
    table, entry_size, entries = _ELF_HEADER.unpack(os.pread(fd, _ELF_HEADER.size, 0))
    seen: set[int] = set()
    for index in range(entries):
        header = os.pread(fd, _PROGRAM_HEADER.size, table + index * entry_size)
        kind, _, offset, _, physical, size, _, _ = _PROGRAM_HEADER.unpack(header)
        if kind == _PT_LOAD and physical != _NO_PHYSICAL_ADDRESS and physical not in seen:
            seen.add(physical)
            yield offset, size
