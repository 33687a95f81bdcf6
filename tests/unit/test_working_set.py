"""Which pages a zygote's children copy beforehand."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable

from zygote import working_set
from zygote.working_set import Range

PAGE = mmap.PAGESIZE
PAGES = 64
WRITTEN = (5, 6, 20)


def memory() -> tuple[mmap.mmap, int]:
    """Private memory that is in use, and its address."""
    block = mmap.mmap(-1, PAGES * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(PAGES):
        block[page * PAGE] = 1
    return block, ctypes.addressof(ctypes.c_char.from_buffer(block))


def write(block: mmap.mmap) -> None:
    for page in WRITTEN:
        block[page * PAGE] = 2


def inside(ranges: list[Range], address: int) -> list[tuple[int, int]]:
    """(first page, pages) of those in the memory."""
    end = address + PAGES * PAGE
    return [((each.address - address) // PAGE, each.size // PAGE) for each in ranges if address <= each.address < end]


def in_child(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def test_what_is_written_to_is_learnt_and_nothing_else() -> None:
    block, address = memory()
    assert inside(working_set.learn(lambda: write(block)), address) == [(5, 2), (20, 1)]
    assert inside(working_set.learn(lambda: None), address) == []


def test_a_child_has_its_own_copies_before_it_writes() -> None:
    block, address = memory()
    learnt = working_set.learn(lambda: write(block))

    def copied() -> bool:
        working_set.copy(learnt)
        return inside(list(working_set._own_pages()), address) == [(5, 2), (20, 1)]

    assert in_child(copied)
    assert block[WRITTEN[0] * PAGE] == 1


def test_what_is_no_longer_mapped_is_passed_over() -> None:
    block = mmap.mmap(-1, PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    block.close()
    working_set.copy([Range(address, PAGE), Range(0, PAGE)])


def test_neighbouring_pages_are_one_range() -> None:
    pages = [PAGE * number for number in (3, 4, 5, 9, 11, 12)]
    assert working_set.joined(pages) == [Range(3 * PAGE, 3 * PAGE), Range(9 * PAGE, PAGE), Range(11 * PAGE, 2 * PAGE)]
    assert working_set.joined([]) == []


def test_a_rehearsal_that_fails_teaches_nothing() -> None:
    def fail() -> None:
        os._exit(3)

    assert working_set.learn(fail) == []
