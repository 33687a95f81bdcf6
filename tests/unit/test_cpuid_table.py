"""The CPUID answers that travel with a grant."""

import struct
from pathlib import Path

import pytest

from enclave_host.cpuid import host_cpuid_table
from enclave_host.errors import HostError
from enclave_host.lease_grant import CPUID_ENTRIES_MAX, CPUID_ENTRY_SIZE
from tests.harness.paths import MATE


def entries(table: bytes) -> dict[tuple[int, int], tuple[int, ...]]:
    return {(entry[0], entry[1]): entry[2:] for entry in struct.iter_unpack("<6I", table)}


def test_the_table_of_this_host_is_complete_enough_for_a_start() -> None:
    table = host_cpuid_table(MATE)
    found = entries(table)
    assert len(found) * CPUID_ENTRY_SIZE == len(table)
    assert len(found) <= CPUID_ENTRIES_MAX
    vendor = struct.pack("<3I", found[0, 0][1], found[0, 0][3], found[0, 0][2]).decode()
    assert vendor in Path("/proc/cpuinfo").read_text()
    assert {(1, 0), (7, 0), (0x80000000, 0)} <= found.keys()
    assert {(0xD, component) for component in range(16)} <= found.keys()  # with those that are not there


def test_caches_end_with_the_empty_one_that_programs_count_up_to() -> None:
    caches = [answer for (leaf, _), answer in sorted(entries(host_cpuid_table(MATE)).items()) if leaf == 4]
    assert caches and caches[-1][0] & 0x1F == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [("exit 3", "exit status 3"), ("echo cut", "4 bytes"), ("echo no such mode >&2; exit 1", "no such mode")],
)
def test_a_mate_that_gives_no_table_is_an_error(tmp_path: Path, script: str, said: str) -> None:
    mate = tmp_path / "mate"
    mate.write_text(f"#!/bin/sh\n{script}\n")
    mate.chmod(0o755)
    with pytest.raises(HostError, match=said):
        host_cpuid_table(mate)
