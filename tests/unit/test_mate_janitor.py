"""What a dead process leaves in its compartment: recovered and erased by the LibOS, entered by `mate janitor`."""

import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.unit import mate_process
from tests.unit.mate_process import ROOT, Compartment, Janitor

PROGRAMS = ROOT / "build" / "programs" / "musl-static"
SECRET = "a tenant's own bytes"
PATTERN = bytes(byte ^ 0x55 for byte in (SECRET * 2).encode())[: len(SECRET)]
KILLS = 20
SEED = 20240501


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()
    if not PROGRAMS.is_dir():
        pytest.skip("the test programs are not built: make -C tests/programs")


@pytest.fixture
def janitor() -> Iterator[Janitor]:
    with mate_process.janitor() as janitor:
        yield janitor


def has_pattern(compartment: Compartment) -> bool:
    return any(PATTERN in page for _, page in compartment.data())


def killed_while_it_waits(compartment: Compartment) -> None:
    with compartment.spawn(PROGRAMS / "secret", SECRET, "wait") as process:
        assert process.stdout and process.stdout.readline() == "filled\n"
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_killed_program_is_erased(compartment: Compartment, janitor: Janitor) -> None:
    killed_while_it_waits(compartment)
    assert has_pattern(compartment)  # or the test would prove nothing
    assert janitor.scrub(compartment) > 1000
    assert compartment.left_over() == []


def test_ended_program_is_erased(compartment: Compartment, janitor: Janitor) -> None:
    assert compartment.run(PROGRAMS / "secret", SECRET, "end").returncode == 0
    janitor.scrub(compartment)
    assert compartment.left_over() == []


def test_scrubbing_twice_and_before_use(compartment: Compartment, janitor: Janitor) -> None:
    assert janitor.scrub(compartment) >= 0
    assert janitor.scrub(compartment) >= 0
    assert compartment.run(PROGRAMS / "hello").stdout == "hello, world\n"


def test_killed_at_random_moments_and_used_again(compartment: Compartment, janitor: Janitor) -> None:
    chance = random.Random(SEED)
    for _ in range(KILLS):
        with compartment.spawn(PROGRAMS / "threads") as process:
            time.sleep(chance.uniform(0, 0.08))
            process.kill()
        janitor.scrub(compartment)
        assert compartment.left_over() == []
    assert compartment.run(PROGRAMS / "hello").stdout == "hello, world\n"


def test_several_compartments_in_a_row(janitor: Janitor) -> None:
    for _ in range(3):
        compartment = Compartment.create()
        killed_while_it_waits(compartment)
        janitor.scrub(compartment)
        assert compartment.left_over() == []
        compartment.close()


def test_a_broken_compartment_is_an_error_and_the_janitor_lives(compartment: Compartment, janitor: Janitor) -> None:
    foreign = Compartment(grant=compartment.image, image=compartment.image, memory=compartment.memory)
    answer = janitor.ask(foreign)
    assert answer.status < 0
    assert b"worker failed" in answer.body
    assert janitor.scrub(compartment) >= 0
