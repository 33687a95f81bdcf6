"""Preparing backs pages, changes nothing in them, and passes for nobody's holding the compartment."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator

import pytest

from enclave_host import layout
from enclave_host.preparation import MemoryRange, populating, ranges_to_prepare, size_of

PAGE = 4096


@pytest.fixture
def pages() -> Iterator[int]:
    memfd = os.memfd_create("pages", os.MFD_CLOEXEC)
    os.ftruncate(memfd, layout.COMPARTMENT_STRIDE)
    fd = os.open(f"/proc/self/fd/{memfd}", os.O_RDWR | os.O_CLOEXEC)
    os.close(memfd)
    yield fd
    os.close(fd)


def backed(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512


@pytest.mark.parametrize("memory", [PAGE, 1 << 20, layout.APP_CODE_END - layout.APP_OFFSET])
def test_ranges_are_whole_pages_apart_from_each_other(memory: int) -> None:
    ranges = sorted(ranges_to_prepare(memory), key=lambda part: part.offset)
    assert all(part.offset % PAGE == part.size % PAGE == 0 < part.size for part in ranges)
    assert all(one.offset + one.size <= next_.offset for one, next_ in itertools.pairwise(ranges))
    assert ranges[-1].offset + ranges[-1].size < layout.APP_END


def test_every_page_of_the_program_has_its_dirty_bit_prepared() -> None:
    ranges = ranges_to_prepare(1 << 20)
    tables = {
        address
        for part in ranges
        if part.offset < layout.APP_OFFSET
        for address in range(part.offset, part.offset + part.size)
    }
    for part in ranges:
        if part.offset >= layout.APP_OFFSET:
            for page in (part.offset // PAGE, (part.offset + part.size) // PAGE - 1):
                assert layout.DIRTY_MAP_OFFSET + page // 8 in tables


def test_holes_are_backed_and_content_stays(pages: int) -> None:
    ranges = (MemoryRange(0x10000, 0x4000), MemoryRange(0x2000000, 0x8000))
    os.pwrite(pages, b"theirs", 0x11000)
    populating(pages, ranges)()
    assert backed(pages) == size_of(ranges)
    assert os.pread(pages, 0x4000, 0x10000) == bytes(0x1000) + b"theirs".ljust(0x3000, b"\0")
    assert not os.pread(pages, 0x8000, 0x2000000).strip(b"\0")


def test_works_when_the_enclave_is_closed_meanwhile(pages: int) -> None:
    other = os.open(f"/proc/self/fd/{pages}", os.O_RDWR | os.O_CLOEXEC)
    prepare = populating(other, (MemoryRange(0, PAGE),))
    os.close(other)
    prepare()
    assert backed(pages) == PAGE


def test_is_no_holder(pages: int) -> None:
    prepare = populating(pages, (MemoryRange(0, PAGE),))
    fcntl.fcntl(pages, fcntl.F_SETLEASE, fcntl.F_WRLCK)  # as ModelEnclave.is_held asks
    fcntl.fcntl(pages, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    prepare()


def test_failure_is_an_oserror_that_names_the_call(pages: int) -> None:
    os.ftruncate(pages, 0)
    with pytest.raises(OSError, match="MADV_POPULATE_WRITE"):
        populating(pages, (MemoryRange(0, PAGE),))()
