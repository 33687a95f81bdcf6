"""Idle compartments are prepared: the memory that the start of any program touches is there already.

Who allocates and zeroes a page is then the daemon, beforehand, and not the container that starts. The pages are backed
by touching them, which leaves their content alone: it does no harm if the compartment is leased meanwhile.
"""

import ctypes
import mmap
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from enclave_host import layout
from enclave_host.sgx import PAGE_SIZE

MADV_POPULATE_WRITE = 23  # linux 5.14

_STACK_SIZE = 0x1_0000
_STACK_MARGIN = 0x1_0000  # above the stack, enclave/start.c
_HEAP_SIZE = 0x1_0000
_TABLE_SIZE = 2 * PAGE_SIZE
_MAP_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


@dataclass(frozen=True)
class MemoryRange:
    """Of a compartment: `offset` counts from its base."""

    offset: int
    size: int


def ranges_to_prepare(memory: int) -> tuple[MemoryRange, ...]:
    """The LibOS's tables, the heap's and the stack's first pages, and `memory` bytes for code and its data."""
    program = (
        MemoryRange(layout.APP_OFFSET, memory),
        MemoryRange(layout.APP_CODE_END, _HEAP_SIZE),
        MemoryRange(layout.APP_END - _STACK_MARGIN - _STACK_SIZE, _STACK_SIZE),
    )
    tables = (MemoryRange(layout.VMAS_OFFSET, _TABLE_SIZE), MemoryRange(layout.TRAMPOLINES_OFFSET, _TABLE_SIZE))
    return (*tables, *(_dirty_bits(part) for part in program), *program)


def _dirty_bits(part: MemoryRange) -> MemoryRange:
    """Where the dirty map has its bits for the part, one a page."""
    page_bits = PAGE_SIZE * 8
    first, last = (page // PAGE_SIZE // page_bits for page in (part.offset, part.offset + part.size - 1))
    return MemoryRange(layout.DIRTY_MAP_OFFSET + first * PAGE_SIZE, (last + 1 - first) * PAGE_SIZE)


def size_of(ranges: Iterable[MemoryRange]) -> int:
    return sum(part.size for part in ranges)


def populating(fd: int, ranges: tuple[MemoryRange, ...]) -> Callable[[], None]:
    """A function for a worker thread that backs these ranges of the file, which may be closed meanwhile."""
    own = os.dup(fd)  # not a further opening of the file: who looks for holders finds none

    def populate_all() -> None:
        try:
            for part in ranges:
                _populate(own, part)
        finally:
            os.close(own)

    return populate_all


def _populate(fd: int, part: MemoryRange) -> None:
    """By ctypes, since mmap.madvise() would keep the daemon's loop from running meanwhile."""
    address = _libc.mmap(None, part.size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, part.offset)
    if address == _MAP_FAILED:
        raise _error("mmap")
    try:
        if _libc.madvise(address, part.size, MADV_POPULATE_WRITE):
            raise _error("madvise(MADV_POPULATE_WRITE)")
    finally:
        _libc.munmap(address, part.size)


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
