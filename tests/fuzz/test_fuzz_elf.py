"""Mutated ELF headers: nothing out of bounds is read, and what is accepted keeps the loader's assumptions."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.elf_file import PT_GNU_STACK, PT_INTERP, ElfFile, Segment
from tests.harness.native import compile_native

ITERATIONS = 20_000


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_native(
        tmp_path_factory.mktemp("fuzz") / "fuzz_elf",
        driver=Path(__file__).parent / "elf" / "fuzz_elf.c",
        sources=("elf_check.c",),
    )


@pytest.mark.parametrize("seed", range(4))
def test_mutated_headers(fuzzer: Path, tmp_path: Path, seed: int) -> None:
    usual = ElfFile()
    files = {
        "usual": usual,
        "dynamic": usual.with_more(Segment(type=PT_INTERP, offset=0x200, file_size=28), Segment(type=PT_GNU_STACK)),
        "no headers": replace(usual, headers_count=0),
    }
    paths = []
    for name, elf in files.items():
        path = tmp_path / name
        path.write_bytes(elf.pack())
        paths.append(path)
    done = subprocess.run([fuzzer, str(seed), str(ITERATIONS), *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    accepted = int(done.stdout.split()[0])
    # Both ends of the checks must have been exercised.
    assert ITERATIONS // 20 < accepted < ITERATIONS * 3 // 4, done.stdout
