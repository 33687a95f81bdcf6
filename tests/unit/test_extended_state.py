"""Vector and x87 state of a program, with and without XSAVEC: the grant's CPUID table says what the CPU has."""

import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from enclave_host import layout
from enclave_host.cpuid import host_cpuid_table
from tests.harness.images import build_programs, program
from tests.harness.patience import PATIENCE
from tests.unit import mate_process
from tests.unit.mate_process import MATE, ROOT, Compartment

LEAF_XSAVE = 0xD
XSAVEC, XGETBV1 = 1 << 1, 1 << 2
AVX = 2  # the first component with a place of its own
THREAD_HEADER = ROOT / "enclave" / "thread.h"
CASES = (
    ("registers", "float"),
    ("registers", "vectors"),
    ("registers", "rounding"),
    ("registers", "flags"),
    ("spawn", "vfork"),
    ("threads", ""),
)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()
    build_programs()


def xsave_answers() -> dict[int, tuple[int, ...]]:
    entries = struct.iter_unpack("<6I", host_cpuid_table(MATE))
    return {entry[1]: entry[2:] for entry in entries if entry[0] == LEAF_XSAVE}


def table(subleaf: int, **registers: int) -> bytes:
    """This host's answers, but for some registers of a subleaf of CPUID 0xd."""
    table = b""
    for leaf, level, *answer in struct.iter_unpack("<6I", host_cpuid_table(MATE)):
        if (leaf, level) == (LEAF_XSAVE, subleaf):
            names = ("eax", "ebx", "ecx", "edx")
            answer = [registers.get(name, value) for name, value in zip(names, answer, strict=True)]
        table += struct.pack("<6I", leaf, level, *answer)
    return table


@contextmanager
def compartment(cpuid: bytes) -> Iterator[Compartment]:
    made = Compartment.create(threads=16, cpuid=cpuid)
    try:
        yield made
    finally:
        made.close()


def xgetbv_register(made: Compartment) -> int:
    """What the LibOS's first thread decided: it stays in the compartment."""
    found = re.search(r"^#define THREAD_XGETBV_REGISTER (\d+)$", THREAD_HEADER.read_text(), re.MULTILINE)
    assert found
    block = layout.thread_block(0, 0).tcb - layout.compartment_offset(0)
    return int.from_bytes(os.pread(made.memory, 4, block + int(found[1])), "little")


@pytest.mark.parametrize("missing", [0, XSAVEC, XGETBV1, XSAVEC | XGETBV1], ids=["none", "xsavec", "xgetbv1", "both"])
@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_a_program_keeps_its_state(name: str, case: str, missing: int) -> None:
    features = xsave_answers()[1][0] & ~missing
    command = [str(program(name)), *filter(None, [case])]
    native = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    with compartment(table(1, eax=features)) as made:
        inside = made.run(*command)
        register = xgetbv_register(made)
    assert (inside.returncode, inside.stdout) == (native.returncode, native.stdout), inside.stderr
    assert register == (features & (XSAVEC | XGETBV1) == XSAVEC | XGETBV1)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(576, 0x1000), (0xFFFFFFFF, 2), (0xFFFFFF00, 0x200), (512, 64), (0, 256)],
    ids=["behind", "overflow", "overflow-into-legacy", "header", "legacy"],
)
def test_a_component_elsewhere_than_in_the_frame_is_refused(offset: int, size: int) -> None:
    with compartment(table(AVX, ebx=offset, eax=size)) as made:
        result = made.run("/bin/true")
    assert result.returncode == 125
    assert f"component {AVX} at offset {offset} with {size} bytes" in result.stderr
