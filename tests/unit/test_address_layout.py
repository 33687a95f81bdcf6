"""Where a program finds its stack, heap, mappings and code: as large as was asked for, and never twice the same."""

import re
import resource
import signal
from collections.abc import Callable

import pytest

from enclave_host import layout
from tests.harness.images import build_programs, program
from tests.unit import mate_process
from tests.unit.mate_process import Compartment

KIB, MIB = 1 << 10, 1 << 20
STARTS = 5


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()
    build_programs()


def stack_limit(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_STACK, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("library", ["glibc-dynamic", "musl-static"])
def test_no_start_is_like_another(library: str) -> None:
    seen: dict[str, set[int]] = {"stack": set(), "map": set(), "brk": set(), "code": set()}
    for _ in range(STARTS):
        compartment = Compartment.create()
        done = compartment.run(program("address_layout", library), "where")
        compartment.close()
        assert done.returncode == 0, done.stderr
        for name, address in re.findall(r"(\w+) 0x([0-9a-f]+)", done.stdout):
            seen[name].add(int(address, 16))
    first = layout.ENCLAVE_BASE + layout.compartment_offset(0)
    for name, addresses in seen.items():
        assert all(first < address < first + layout.COMPARTMENT_STRIDE for address in addresses), name
        # by pages; that two of them are the same by chance is possible, three are not
        assert len({address >> 12 for address in addresses}) >= STARTS - 1, name


@pytest.mark.parametrize(
    ("limit", "used"),
    [(8 * MIB, 7 * MIB), (64 * MIB, 60 * MIB), (1 * MIB, 800 * KIB), (resource.RLIM_INFINITY, 128 * MIB)],
)
def test_the_stack_is_as_large_as_its_limit(compartment: Compartment, limit: int, used: int) -> None:
    deep = str(used // KIB * 9 // 10)  # frames take a little more than what is in them
    done = compartment.run(program("address_layout"), "deep", deep, before=stack_limit(limit))
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr


def test_beyond_the_limit_is_a_fault(compartment: Compartment) -> None:
    done = compartment.run(program("address_layout"), "deep", "2048", before=stack_limit(1 * MIB))
    assert done.returncode == -signal.SIGSEGV, done.stdout + done.stderr


def test_a_stack_takes_no_more_than_a_part_of_the_memory(compartment: Compartment) -> None:
    """Of the 1 GiB here 256 MiB: the rest is left for the program."""
    before = stack_limit(resource.RLIM_INFINITY)
    done = compartment.run(program("address_layout"), "deep", str(300 * KIB), before=before)
    assert done.returncode == -signal.SIGSEGV, done.stdout + done.stderr
