"""The LibOS's mapping table (enclave/vma.c), by named cases and against a page-by-page model."""

from __future__ import annotations

import errno
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.native import compile_native

PAGE = 0x1000
NONE, R, RW, RX = 0, 1, 3, 5
PRIVATE, SHARED = 0, 1
NO_ROOM = -errno.ENOMEM


@dataclass(frozen=True)
class Entry:
    start: int
    end: int
    prot: int = RW
    kind: int = PRIVATE
    flags: int = 0


@dataclass(frozen=True)
class Answer:
    result: int
    table: tuple[Entry, ...]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_native(
        tmp_path_factory.mktemp("vma") / "vma_driver",
        driver=Path(__file__).parent / "native" / "vma_driver.c",
        sources=("vma.c",),
    )


def run(driver: Path, commands: list[tuple[str, ...]], *, capacity: int = 16) -> list[Answer]:
    text = "".join(" ".join(command) + "\n" for command in commands)
    done = subprocess.run([driver, str(capacity)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = []
    for line in done.stdout.splitlines():
        result, *entries = line.split(" ")
        table = tuple(Entry(*(int(field, 16) for field in entry.split(":"))) for entry in entries)
        answers.append(Answer(int(result, 16), table))
    return answers


def command(name: str, *numbers: int) -> tuple[str, ...]:
    return (name, *(f"{number:x}" for number in numbers))


def put(start: int, end: int, prot: int = RW, kind: int = PRIVATE, flags: int = 0) -> tuple[str, ...]:
    return command("set", start, end, prot, kind, flags)


CHANGES = {
    "one entry": ([put(0x1000, 0x3000)], [Entry(0x1000, 0x3000)]),
    "like neighbours merge": ([put(0x1000, 0x2000), put(0x2000, 0x3000)], [Entry(0x1000, 0x3000)]),
    "the middle joins both sides": (
        [put(0x1000, 0x2000), put(0x3000, 0x4000), put(0x2000, 0x3000)],
        [Entry(0x1000, 0x4000)],
    ),
    "other permissions stay apart": (
        [put(0x1000, 0x2000, R), put(0x2000, 0x3000, RW)],
        [Entry(0x1000, 0x2000, R), Entry(0x2000, 0x3000, RW)],
    ),
    "other kinds stay apart": (
        [put(0x1000, 0x2000), put(0x2000, 0x3000, RW, SHARED)],
        [Entry(0x1000, 0x2000), Entry(0x2000, 0x3000, RW, SHARED)],
    ),
    "other flags stay apart": (
        [put(0x1000, 0x2000, flags=2), put(0x2000, 0x3000, flags=0x22)],
        [Entry(0x1000, 0x2000, flags=2), Entry(0x2000, 0x3000, flags=0x22)],
    ),
    "order does not depend on insertion": (
        [put(0x7000, 0x8000, R), put(0x1000, 0x2000, R), put(0x4000, 0x5000, R)],
        [Entry(0x1000, 0x2000, R), Entry(0x4000, 0x5000, R), Entry(0x7000, 0x8000, R)],
    ),
    "set replaces the inside": (
        [put(0x1000, 0x9000), put(0x3000, 0x4000, R)],
        [Entry(0x1000, 0x3000), Entry(0x3000, 0x4000, R), Entry(0x4000, 0x9000)],
    ),
    "set replaces several": (
        [put(0x1000, 0x3000, R), put(0x4000, 0x5000, R), put(0x6000, 0x8000, R), put(0x2000, 0x7000)],
        [Entry(0x1000, 0x2000, R), Entry(0x2000, 0x7000), Entry(0x7000, 0x8000, R)],
    ),
    "set of the same thing changes nothing": (
        [put(0x1000, 0x9000), put(0x3000, 0x4000)],
        [Entry(0x1000, 0x9000)],
    ),
    "clear makes a hole": (
        [put(0x1000, 0x9000), command("clear", 0x3000, 0x4000)],
        [Entry(0x1000, 0x3000), Entry(0x4000, 0x9000)],
    ),
    "clear trims both ends": (
        [put(0x1000, 0x3000), put(0x5000, 0x8000), command("clear", 0x2000, 0x6000)],
        [Entry(0x1000, 0x2000), Entry(0x6000, 0x8000)],
    ),
    "clear of nothing": ([put(0x1000, 0x2000), command("clear", 0x2000, 0x9000)], [Entry(0x1000, 0x2000)]),
    "clear of everything": ([put(0x1000, 0x2000), put(0x4000, 0x5000), command("clear", 0, 0x9000)], []),
    "protect splits": (
        [put(0x1000, 0x9000), command("protect", 0x3000, 0x4000, NONE)],
        [Entry(0x1000, 0x3000), Entry(0x3000, 0x4000, NONE), Entry(0x4000, 0x9000)],
    ),
    "protect back merges": (
        [put(0x1000, 0x9000), command("protect", 0x3000, 0x4000, NONE), command("protect", 0x3000, 0x4000, RW)],
        [Entry(0x1000, 0x9000)],
    ),
    "protect over several": (
        [
            put(0x1000, 0x2000, R),
            put(0x2000, 0x3000, RX),
            put(0x3000, 0x4000, RW),
            command("protect", 0x1000, 0x4000, R),
        ],
        [Entry(0x1000, 0x4000, R)],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change(driver: Path, name: str) -> None:
    commands, expected = CHANGES[name]
    answers = run(driver, commands)
    assert [answer.result for answer in answers] == [0] * len(commands)
    assert answers[-1].table == tuple(expected)


def test_protect_of_a_hole_is_refused_and_changes_nothing(driver: Path) -> None:
    before = [put(0x1000, 0x2000), put(0x3000, 0x4000)]
    answer = run(driver, [*before, command("protect", 0x1000, 0x4000, R)])[-1]
    assert answer == Answer(NO_ROOM, (Entry(0x1000, 0x2000), Entry(0x3000, 0x4000)))


def test_full_table_refuses_growth_but_can_be_emptied(driver: Path) -> None:
    full = [put(0x1000 * (4 * i + 1), 0x1000 * (4 * i + 4), R) for i in range(4)]
    answers = run(
        driver,
        [*full, put(0x100000, 0x101000), command("clear", 0x2000, 0x3000), command("clear", 0, 0x4000)],
        capacity=5,
    )
    assert [answer.result for answer in answers[:4]] == [0] * 4
    assert answers[4].result == NO_ROOM, "set could need two entries"
    assert answers[5].result == 0, "the last free entry holds the second half"
    assert answers[6].result == 0

    hole = command("clear", 0x2000, 0x3000)
    answers = run(driver, [*full, hole, command("clear", 0x6000, 0x7000), command("clear", 0x5000, 0x6000)], capacity=5)
    assert answers[5] == Answer(NO_ROOM, answers[4].table), "a hole in a full table"
    assert answers[6].result == 0, "shortening an entry needs no room"


QUESTIONS = {
    "search before": (command("search", 0), 0),
    "search inside": (command("search", 0x2000), 0),
    "search at an end": (command("search", 0x3000), 1),
    "search behind all": (command("search", 0x9000), 3),
    "covers one": (command("covers", 0x1000, 0x3000), 1),
    "covers adjacent ones": (command("covers", 0x5000, 0x8000), 1),
    "covers not a hole": (command("covers", 0x2000, 0x6000), 0),
    "covers not beyond the end": (command("covers", 0x7000, 0x9000), 0),
    "overlaps": (command("overlaps", 0x2000, 0x10000), 1),
    "overlaps not between": (command("overlaps", 0x3000, 0x5000), 0),
    "committed counts private accessible bytes": (command("committed", 0, 0x10000), 0x2000),
    "committed of a part": (command("committed", 0x2000, 0x10000), 0x1000),
    "lowest gap from inside an entry": (command("lowest", 0x1000, 0x10000, 0x1000, PAGE), 0x3000),
    "lowest gap that fits": (command("lowest", 0x1000, 0x10000, 0x3000, PAGE), 0x8000),
    "lowest gap, aligned": (command("lowest", 0x1000, 0x10000, 0x1000, 0x4000), 0x4000),
    "lowest gap, none": (command("lowest", 0x1000, 0x8000, 0x3000, PAGE), 0),
    "highest gap": (command("highest", 0, 0x10000, 0x1000, PAGE), 0xF000),
    "highest gap below an entry": (command("highest", 0x1000, 0x8000, 0x1000, PAGE), 0x4000),
    "highest gap, aligned": (command("highest", 0x1000, 0x10000, 0x1000, 0x4000), 0xC000),
    "highest gap, exact": (command("highest", 0x1000, 0x8000, 0x2000, PAGE), 0x3000),
    "highest gap, none": (command("highest", 0x1000, 0x8000, 0x3000, PAGE), 0),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(driver: Path, name: str) -> None:
    # [1000, 3000) private rw; hole; [5000, 7000) private, no access; [7000, 8000) shared
    setup = [put(0x1000, 0x3000), put(0x5000, 0x7000, NONE), put(0x7000, 0x8000, RW, SHARED)]
    question, expected = QUESTIONS[name]
    assert run(driver, [*setup, question])[-1].result == expected


@pytest.mark.parametrize("seed", range(8))
def test_against_a_model_of_pages(driver: Path, seed: int) -> None:
    chance = random.Random(seed)
    pages: dict[int, tuple[int, int, int]] = {}
    commands: list[tuple[str, ...]] = []
    expected: list[tuple[int, dict[int, tuple[int, int, int]]]] = []
    for _ in range(400):
        start = chance.randrange(64)
        span = range(start, start + chance.randint(1, 12))
        prot = chance.choice([NONE, R, RW, RX])
        result = 0
        match chance.choice(["set", "set", "clear", "protect"]):
            case "set":
                what = (prot, PRIVATE, chance.choice([0x2, 0x22]))
                commands.append(put(span.start * PAGE, span.stop * PAGE, *what))
                pages |= dict.fromkeys(span, what)
            case "clear":
                commands.append(command("clear", span.start * PAGE, span.stop * PAGE))
                pages = {page: what for page, what in pages.items() if page not in span}
            case "protect":
                commands.append(command("protect", span.start * PAGE, span.stop * PAGE, prot))
                if all(page in pages for page in span):
                    pages |= {page: (prot, *pages[page][1:]) for page in span}
                else:
                    result = NO_ROOM
        expected.append((result, dict(pages)))
    for answer, (result, model) in zip(run(driver, commands, capacity=100), expected, strict=True):
        assert answer.result == result
        found = {}
        for entry in answer.table:
            for page in range(entry.start // PAGE, entry.end // PAGE):
                found[page] = (entry.prot, entry.kind, entry.flags)
        assert found == model
        for low, high in zip(answer.table, answer.table[1:], strict=False):
            assert low.end <= high.start
            alike = (low.prot, low.kind, low.flags) == (high.prot, high.kind, high.flags)
            assert low.end < high.start or not alike, "like neighbours were not merged"
