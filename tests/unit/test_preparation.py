"""A prepared compartment has the memory that its next program touches, where the LibOS has drawn it, until a scrub."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from enclave_host import layout
from enclave_host.attach_protocol import AttachType, Message, pack_prepare
from tests.harness.images import build_programs, program
from tests.unit import mate_process
from tests.unit.mate_process import Compartment, Janitor

CODE = 2 << 20
BESIDES_CODE_MAX = 512 << 10


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()
    build_programs()


@pytest.fixture
def janitor() -> Iterator[Janitor]:
    with mate_process.janitor() as janitor:
        yield janitor


def backed(compartment: Compartment) -> int:
    return os.fstat(compartment.memory).st_blocks * 512


def grown(compartment: Compartment) -> int:
    """By how much a program's start makes the compartment larger."""
    before = backed(compartment)
    assert compartment.run(program("hello", "glibc-dynamic")).stdout == "hello, world\n"
    return backed(compartment) - before


def test_nothing_but_the_first_thread_and_the_header_has_content(compartment: Compartment, janitor: Janitor) -> None:
    size = janitor.prepare(compartment, CODE)
    assert CODE < size <= CODE + BESIDES_CODE_MAX
    assert size <= backed(compartment)
    program_data = [offset for offset in compartment.left_over() if offset >= layout.VMAS_OFFSET]
    assert program_data == []


def test_a_start_finds_its_memory(compartment: Compartment, janitor: Janitor) -> None:
    unprepared = grown(Compartment.create())
    janitor.prepare(compartment, CODE)
    assert grown(compartment) < unprepared // 4


def test_a_scrub_gives_back_what_was_prepared(compartment: Compartment, janitor: Janitor) -> None:
    janitor.scrub(compartment)
    before = backed(compartment)
    for _ in range(3):  # elsewhere each time: what stayed would add up
        janitor.prepare(compartment, CODE)
        janitor.scrub(compartment)
        assert backed(compartment) <= before
        assert compartment.left_over() == []


def test_preparing_twice_is_preparing_once(compartment: Compartment, janitor: Janitor) -> None:
    size = janitor.prepare(compartment, CODE)
    before = backed(compartment)
    assert janitor.prepare(compartment, CODE) == size
    assert backed(compartment) == before


def test_a_compartment_that_has_started_is_left_alone(compartment: Compartment, janitor: Janitor) -> None:
    assert compartment.run(program("hello", "musl-static")).returncode == 0
    before = backed(compartment)
    assert janitor.prepare(compartment, CODE) == 0
    assert backed(compartment) == before


@pytest.mark.parametrize("memory", [0, 1, layout.APP_CODE_END])
def test_a_size_that_cannot_be_is_refused(compartment: Compartment, janitor: Janitor, memory: int) -> None:
    assert janitor.prepare(compartment, memory) == 0
    assert janitor.prepare(compartment, CODE) > 0


def test_a_request_without_a_size_is_an_error(compartment: Compartment, janitor: Janitor) -> None:
    assert janitor.ask(compartment, Message(AttachType.PREPARE)).status < 0
    assert janitor.ask(compartment, Message(AttachType.PREPARE, pack_prepare(CODE) + b"x")).status < 0
    assert janitor.prepare(compartment, CODE) > 0
