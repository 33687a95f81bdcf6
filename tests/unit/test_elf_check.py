"""The LibOS's checks of ELF headers (enclave/elf_check.c): what is accepted, and each reason for refusal."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.elf_file import (
    EM_386,
    EM_AARCH64,
    ET_CORE,
    ET_EXEC,
    ET_REL,
    PT_GNU_STACK,
    PT_INTERP,
    ElfFile,
    R,
    Segment,
    W,
    X,
)
from tests.harness.native import compile_native, run_driver

USUAL = ElfFile()
MAX = 2**64 - 1
TRUNCATED_SEGMENT = "is truncated: a segment lies beyond the end of the file"
TRUNCATED_HEADERS = "is truncated: its program headers lie beyond the end of the file"
IMPOSSIBLE = "has a segment at an impossible address or of an impossible size"
ALIGNMENT = "has a segment of impossible alignment"
OVERLAP = "has segments that overlap or are out of order"
LARGER = "has a segment that is larger in the file than in memory"
ENTRY = "has its entry point outside of its executable segments"
MISPLACED = "has too many program headers, or not where a linker puts them"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_native(
        tmp_path_factory.mktemp("elf") / "elf_driver",
        driver=Path(__file__).parent / "native" / "elf_driver.c",
        sources=("elf_check.c",),
    )


def check(driver: Path, path: Path) -> str:
    done = subprocess.run([driver, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


REFUSED: dict[str, tuple[ElfFile, str]] = {
    "text file": (replace(USUAL, magic=b"echo"), "is not an ELF program"),
    "empty file": (replace(USUAL, size=0), "is not an ELF program"),
    "half a magic": (replace(USUAL, size=3), "is not an ELF program"),
    "half a header": (replace(USUAL, size=40), "is truncated: its ELF header is incomplete"),
    "32 bits": (replace(USUAL, bits=1), "is not a 64-bit program"),
    "big-endian": (replace(USUAL, endianness=2), "is not a little-endian program"),
    "i386": (replace(USUAL, machine=EM_386), "is for another processor than x86-64"),
    "aarch64": (replace(USUAL, machine=EM_AARCH64), "is for another processor than x86-64"),
    "version of identity": (replace(USUAL, identity_version=0), "has an unknown ELF version"),
    "version": (replace(USUAL, version=2), "has an unknown ELF version"),
    "not position-independent": (
        replace(USUAL, type=ET_EXEC),
        "is not position-independent: it wants fixed addresses, and an enclave has its own; "
        "build it with -fPIE -pie (gcc -static-pie when static)",
    ),
    "object file": (replace(USUAL, type=ET_REL), "is an ELF file but not a program"),
    "core file": (replace(USUAL, type=ET_CORE), "is an ELF file but not a program"),
    "size of program headers": (replace(USUAL, headers_entry_size=32), "has program headers of an unknown size"),
    "no program headers": (replace(USUAL, headers_count=0), "has no program headers"),
    "header only": (replace(USUAL, size=64), TRUNCATED_HEADERS),
    "program headers cut": (replace(USUAL, size=100), TRUNCATED_HEADERS),
    "program headers at the end of the address space": (replace(USUAL, headers_offset=MAX), TRUNCATED_HEADERS),
    "program headers that wrap around": (replace(USUAL, headers_offset=MAX - 100), TRUNCATED_HEADERS),
    "65535 program headers in a small file": (replace(USUAL, headers_count=65535), TRUNCATED_HEADERS),
    "program headers deep in the file": (replace(USUAL, headers_offset=0x1800), MISPLACED),
    "65535 program headers": (replace(USUAL, headers_count=65535, size=0x400000), MISPLACED),
    "nothing to load": (replace(USUAL, segments=(Segment(type=PT_GNU_STACK),)), "has no loadable segment"),
    "only empty segments": (replace(USUAL, segments=(Segment(file_size=0, memory_size=0),)), "has no loadable segment"),
    "too many segments": (
        replace(USUAL, segments=tuple(Segment(address=0x1000 * i, file_size=0) for i in range(29))),
        "has too many segments",
    ),
    "larger in the file than in memory": (USUAL.with_segment(2, file_size=0x2401), LARGER),
    "truncated segment": (replace(USUAL, size=0x2BFF), TRUNCATED_SEGMENT),
    "segment begins behind the end": (USUAL.with_segment(2, offset=0x10800), TRUNCATED_SEGMENT),
    "offset that wraps around": (USUAL.with_segment(2, offset=MAX - 0x7FF), TRUNCATED_SEGMENT),
    "huge in memory": (USUAL.with_segment(2, memory_size=1 << 40), IMPOSSIBLE),
    "size that wraps around": (USUAL.with_segment(2, memory_size=MAX), IMPOSSIBLE),
    "address that wraps around": (USUAL.with_segment(2, address=MAX - 0x7FF), IMPOSSIBLE),
    "address in the kernel's half": (USUAL.with_segment(1, address=0xFFFF800000001000), IMPOSSIBLE),
    "alignment not a power of two": (USUAL.with_segment(1, align=0x3000), ALIGNMENT),
    "absurd alignment": (USUAL.with_segment(1, align=1 << 40), ALIGNMENT),
    "address and offset disagree": (
        USUAL.with_segment(2, offset=0x2801),
        "has a segment whose address and file offset do not agree",
    ),
    "same pages twice": (USUAL.with_segment(1, address=0), OVERLAP),
    "a shared page": (USUAL.with_segment(1, memory_size=0x2801), OVERLAP),
    "descending order": (replace(USUAL, segments=tuple(reversed(USUAL.segments))), OVERLAP),
    "entry nowhere": (replace(USUAL, entry=0x100000), ENTRY),
    "entry in data": (replace(USUAL, entry=0x3800), ENTRY),
    "entry just behind the text": (replace(USUAL, entry=0x2000), ENTRY),
    "entry wraps around": (replace(USUAL, entry=MAX), ENTRY),
    "two interpreters": (
        USUAL.with_more(Segment(type=PT_INTERP, file_size=28), Segment(type=PT_INTERP, file_size=28)),
        "names two interpreters",
    ),
    "interpreter without a path": (
        USUAL.with_more(Segment(type=PT_INTERP, file_size=1)),
        "has an interpreter path of impossible length",
    ),
    "interpreter of 4097 bytes": (
        USUAL.with_more(Segment(type=PT_INTERP, file_size=4097)),
        "has an interpreter path of impossible length",
    ),
    "interpreter beyond the end": (
        USUAL.with_more(Segment(type=PT_INTERP, offset=0x2FFF, file_size=28)),
        TRUNCATED_SEGMENT,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(driver: Path, tmp_path: Path, name: str) -> None:
    elf, fault = REFUSED[name]
    path = tmp_path / "program"
    path.write_bytes(elf.pack())
    assert check(driver, path) == f"fault {fault}"


ACCEPTED: dict[str, tuple[ElfFile, str]] = {
    "usual": (
        USUAL,
        "ok entry=1000 low=0 high=6000 alignment=1000 headers=40 interpreter=0+0 stack_x=0 "
        "0:0:1000:1000:1 1000:1000:1000:1000:5 2800:3800:400:2400:3",
    ),
    "linked at an address": (
        replace(
            USUAL,
            entry=0x401000,
            segments=(Segment(address=0x400000), Segment(flags=R | X, offset=0x1000, address=0x401000)),
        ),
        "ok entry=401000 low=400000 high=402000 alignment=1000 headers=400040 interpreter=0+0 stack_x=0 "
        "0:400000:1000:1000:1 1000:401000:1000:1000:5",
    ),
    "large alignment": (
        USUAL.with_segment(0, align=0x200000),
        "ok entry=1000 low=0 high=6000 alignment=200000 headers=40 interpreter=0+0 stack_x=0 "
        "0:0:1000:1000:1 1000:1000:1000:1000:5 2800:3800:400:2400:3",
    ),
    "interpreter and executable stack": (
        USUAL.with_more(
            Segment(type=PT_INTERP, offset=0x200, file_size=28), Segment(type=PT_GNU_STACK, flags=R | W | X)
        ),
        "ok entry=1000 low=0 high=6000 alignment=1000 headers=40 interpreter=200+1c stack_x=1 "
        "0:0:1000:1000:1 1000:1000:1000:1000:5 2800:3800:400:2400:3",
    ),
    "headers not loaded": (
        replace(USUAL, segments=(Segment(flags=R | X, offset=0x1000, address=0x1000),)),
        "ok entry=1000 low=1000 high=2000 alignment=1000 headers=0 interpreter=0+0 stack_x=0 1000:1000:1000:1000:5",
    ),
    "an empty segment is no segment": (
        replace(USUAL, segments=(Segment(flags=R | X), Segment(address=MAX, file_size=0, memory_size=0)), entry=0x800),
        "ok entry=800 low=0 high=1000 alignment=1000 headers=40 interpreter=0+0 stack_x=0 0:0:1000:1000:5",
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(driver: Path, tmp_path: Path, name: str) -> None:
    elf, expected = ACCEPTED[name]
    path = tmp_path / "program"
    path.write_bytes(elf.pack())
    assert check(driver, path) == expected


@pytest.mark.parametrize("path", ["/bin/sh", "/usr/bin/perl", "/lib64/ld-linux-x86-64.so.2"])
def test_programs_of_the_distribution_are_accepted(driver: Path, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"{path} is not installed")
    assert check(driver, Path(path)).startswith("ok ")


def test_a_file_truncated_while_it_is_loaded(tmp_path: Path) -> None:
    run_driver("elf_tail_driver", directory=tmp_path, sources=("elf.c",))
