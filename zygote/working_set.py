"""The pages that a call writes to: learnt from a call rehearsed in a child, copied in every later child beforehand.

A forked child shares its parent's memory, and copies a page when it first writes to it. A call writes to hundreds, and
each costs it an exception. A child that waits for its call has the time to copy them, and one system call for many.
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_MADV_POPULATE_WRITE = 23
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Bits of an entry of /proc/PID/pagemap (admin-guide/mm/pagemap.rst).
_PRESENT = 1 << 63
_OF_A_FILE = 1 << 61
_MAPPED_ONCE = 1 << 56
_ENTRY = struct.Struct("<Q")
_RANGE = struct.Struct("<QQ")
# A mapping of more than this is a reservation, not memory of the interpreter's.
_MAPPING_MAX = 256 << 20

_libc = ctypes.CDLL(None)
_libc.madvise.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)


class Range(NamedTuple):
    """Whole pages."""

    address: int
    size: int


def learn(rehearse: Callable[[], None]) -> list[Range]:
    """Let a child rehearse, and see what it has written to. Nothing if it cannot be seen: calls are slower then."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            rehearse()
            with os.fdopen(writer, "wb") as stream:
                stream.writelines(_RANGE.pack(*each) for each in _own_pages())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    return [Range(*each) for each in _RANGE.iter_unpack(told[: len(told) // _RANGE.size * _RANGE.size])]


def joined(pages: list[int]) -> list[Range]:
    """Neighbouring pages, in rising order, as one range."""
    ranges: list[Range] = []
    for page in pages:
        last = ranges[-1] if ranges else None
        if last and last.address + last.size == page:
            ranges[-1] = Range(last.address, last.size + _PAGE)
        else:
            ranges.append(Range(page, _PAGE))
    return ranges


def copy(ranges: list[Range]) -> None:
    """Have pages of our own there. Where there is no such mapping (any more) there is nothing to do."""
    for address, size in ranges:
        _libc.madvise(address, size, _MADV_POPULATE_WRITE)


def _own_pages() -> Iterator[Range]:
    """What this process has written to since it was forked: memory that nobody else maps."""
    mappings = [line.split(maxsplit=2)[:2] for line in Path("/proc/self/maps").read_text().splitlines()]
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        for bounds, permissions in mappings:
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if permissions == "rw-p" and end - start <= _MAPPING_MAX:
                entries = os.pread(pagemap.fileno(), (end - start) // _PAGE * _ENTRY.size, start // _PAGE * _ENTRY.size)
                yield from _joined(start, entries)


def _joined(start: int, entries: bytes) -> Iterator[Range]:
    """Neighbouring pages as one range."""
    first = -1
    count = len(entries) // _ENTRY.size
    for index, (entry,) in enumerate(_ENTRY.iter_unpack(entries)):
        is_own = entry & _PRESENT and entry & _MAPPED_ONCE and not entry & _OF_A_FILE
        if is_own and first < 0:
            first = index
        elif not is_own and first >= 0:
            yield Range(start + first * _PAGE, (index - first) * _PAGE)
            first = -1
    if first >= 0:
        yield Range(start + first * _PAGE, (count - first) * _PAGE)
