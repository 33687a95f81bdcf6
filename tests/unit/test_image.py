"""The LibOS image keeps its promises (.ci/check-image.sh), and the checks notice when one is broken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.paths import LIBOS, ROOT

CHECK = ROOT / ".ci" / "check-image.sh"
RIGHT = """
    .globl enclave_entry
    enclave_entry: ud2
    .section .rodata, "a"
    .quad 1
"""
SCRIPT = """
ENTRY({entry})
PHDRS {{ text PT_LOAD FLAGS(5); rodata PT_LOAD FLAGS({data_flags}); }}
SECTIONS {{
    . = 0x700000000000;
    .text : {{ *(.text) }} :text
    . = ALIGN(4096);
    .rodata : {{ *(.rodata) *(.data) }} :rodata
}}
"""


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECK, *arguments], capture_output=True, text=True)


def link(folder: Path, assembly: str, *, data_flags: int = 4, entry: str = "enclave_entry", options: str = "") -> Path:
    """A tiny image made like the real one."""
    (folder / "image.S").write_text(assembly + '\n.section .note.GNU-stack, "", @progbits\n')
    (folder / "image.ld").write_text(SCRIPT.format(data_flags=data_flags, entry=entry))
    command = ["gcc", "-static", "-nostdlib", "-no-pie", "-Wl,--build-id=none", f"-Wl,-T,{folder / 'image.ld'}"]
    command += [*options.split(), "-o", str(folder / "image.elf"), str(folder / "image.S")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "image.elf"


def test_libos_image() -> None:
    if not LIBOS.exists():
        pytest.fail(f"{LIBOS} is missing: run `make enclave`")
    done = check(LIBOS)
    assert done.returncode == 0, done.stderr


def test_the_image_does_not_depend_on_where_it_is_built() -> None:
    done = check("--reproducible")
    assert done.returncode == 0, done.stderr


def test_a_right_image_passes(tmp_path: Path) -> None:
    done = check(link(tmp_path, RIGHT))
    assert done.returncode == 0, done.stderr


KERNEL_ENTRIES = {
    "syscall": "syscall",
    "sysenter": "sysenter",
    "int 0x80": "int $0x80",
    "syscall with a prefix": ".byte 0x48, 0x0f, 0x05",
    "syscall with an operand size prefix": ".byte 0x66, 0x0f, 0x05",
}


@pytest.mark.parametrize("name", KERNEL_ENTRIES)
def test_kernel_entry_is_found(tmp_path: Path, name: str) -> None:
    done = check(link(tmp_path, RIGHT + f"\n.text\n{KERNEL_ENTRIES[name]}\n"))
    assert done.returncode == 1
    assert "kernel" in done.stderr


def test_writable_segment_is_found(tmp_path: Path) -> None:
    done = check(link(tmp_path, RIGHT, data_flags=6))
    assert done.returncode == 1
    assert "writable segment" in done.stderr


def test_writable_section_is_found(tmp_path: Path) -> None:
    done = check(link(tmp_path, RIGHT + '\n.section .bss.counter, "aw", @nobits\n.skip 8\n.section .bss\n.skip 8\n'))
    assert done.returncode == 1


def test_other_entry_is_found(tmp_path: Path) -> None:
    done = check(link(tmp_path, RIGHT + "\n.text\n.globl other\nother: ud2\n", entry="other"))
    assert done.returncode == 1
    assert "enclave_entry" in done.stderr


def test_relocation_is_found(tmp_path: Path) -> None:
    done = check(link(tmp_path, RIGHT + "\n.quad enclave_entry\n", options="-Wl,--emit-relocs"))
    assert done.returncode == 1
    assert "relocation" in done.stderr


def test_missing_image_is_told() -> None:
    done = check("/nonexistent/libos.elf")
    assert done.returncode == 1
    assert "make enclave" in done.stderr
