"""enclave/patch_window.c: what it would replace are whole instructions, and it finds most sites."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_decode import disassemble

ROOT = Path(__file__).resolve().parents[2]
NEIGHBOURHOOD = 256
JUMP_SIZE = 5
UNKNOWN_RAX = 0x7FFF_FFFF_FFFF
SYSCALL = "0f05"
MOV_EAX_39 = "b827000000"
CMP_RAX = "483d01f0ffff"
LEAD = "4889f8" * 24  # mov %rdi,%rax: decoding falls into step at once


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("window") / "window_dump"
    sources = [ROOT / "tests/unit/native/window_dump.c", ROOT / "enclave/patch_window.c", ROOT / "enclave/decode.c"]
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *flags, "-o", program, *sources], check=True)
    return program


Window = tuple[int, int, bool] | None  # start relative to the call, size, is it one instruction


def choose_all(chooser: Path, sites: list[tuple[int, int, bytes]]) -> list[tuple[Window, Window]]:
    """For (rax, offset of the call, text) the windows before and after the call."""
    lines = "\n".join(f"{rax:x} {offset} {text.hex()}" for rax, offset, text in sites)
    run = subprocess.run([chooser], input=lines, check=True, capture_output=True, text=True)

    def window(fields: list[str], offset: int) -> Window:
        return None if fields[0] == "-" else (int(fields[0]) - offset, int(fields[1]), fields[2] == "1")

    rows = [line.split() for line in run.stdout.splitlines()]
    return [(window(row[:3], site[1]), window(row[3:], site[1])) for row, site in zip(rows, sites, strict=True)]


def choose(chooser: Path, before: str, after: str, *, rax: int = UNKNOWN_RAX) -> tuple[Window, Window]:
    text = bytes.fromhex(before + SYSCALL + after)
    return choose_all(chooser, [(rax, len(before) // 2, text)])[0]


def test_move_of_the_number_is_known_by_rax(chooser: Path) -> None:
    assert choose(chooser, "90" + MOV_EAX_39, "c3", rax=39)[0] == (-5, 5, True)


def test_bytes_that_look_like_the_move_but_did_not_run_are_not_taken(chooser: Path) -> None:
    assert choose(chooser, "90" + MOV_EAX_39, "c3", rax=40)[0] is None


@pytest.mark.parametrize("prefix", ["41", "49", "66"])
def test_a_prefix_before_the_move_makes_it_another_instruction(chooser: Path, prefix: str) -> None:
    assert choose(chooser, "90" + prefix + MOV_EAX_39, "c3", rax=39)[0] is None


def test_long_instruction_before_the_call(chooser: Path) -> None:
    store = "4c895c2408"  # mov %r11,8(%rsp), as in musl's cancellation points
    assert choose(chooser, LEAD + store, "c3")[0] == (-5, 5, True)


def test_short_instructions_before_the_call_are_taken_together(chooser: Path) -> None:
    assert choose(chooser, LEAD, "c3")[0] == (-6, 6, False)


@pytest.mark.parametrize("carried", ["8b0511223344", "e811223344", "7402488b07"])
def test_what_depends_on_its_place_is_not_carried(chooser: Path, carried: str) -> None:
    assert choose(chooser, LEAD + carried[:12], "c3")[0] is None


def test_comparison_after_the_call(chooser: Path) -> None:
    assert choose(chooser, "90", CMP_RAX + "7701c3")[1] == (0, 8, False)


@pytest.mark.parametrize("after", ["c3", "7503488b07", "e800000000", "488d0500000000", "0f05"])
def test_no_window_after_the_call(chooser: Path, after: str) -> None:
    assert choose(chooser, "90", after)[1] is None


def test_jump_to_the_instruction_after_the_call_forbids_that_window(chooser: Path) -> None:
    again = "ebf8"  # ends 10 bytes after the call begins, jumps to 2 bytes after it
    assert choose(chooser, "90", CMP_RAX + again)[1] is None
    assert choose(chooser, "90", CMP_RAX + "ebf6")[1] is not None  # to the call itself


def test_jump_to_the_call_does_not_forbid_the_window_before_it(chooser: Path) -> None:
    assert choose(chooser, "90" + MOV_EAX_39, "ebfc", rax=39)[0] == (-5, 5, True)


def test_jump_into_the_move_forbids_it(chooser: Path) -> None:
    assert choose(chooser, "90" + MOV_EAX_39, "ebf8", rax=39)[0] is None


@pytest.mark.parametrize("size", range(1, 12))
def test_text_that_ends_early(chooser: Path, size: int) -> None:
    text = bytes.fromhex(MOV_EAX_39 + SYSCALL + CMP_RAX)[: 5 + 2 + size - 1]
    _, after = choose_all(chooser, [(UNKNOWN_RAX, 5, text)])[0]
    assert (after is None) == (len(text) < 13)


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump (binutils) is not installed")
@pytest.mark.parametrize(
    ("binary", "least"),
    [
        ("/lib/x86_64-linux-gnu/libc.so.6", 0.9),
        ("/lib64/ld-linux-x86-64.so.2", 0.9),
        ("/usr/lib/x86_64-linux-musl/libc.so", 0.8),
    ],
)
def test_windows_in_c_libraries_are_whole_instructions(chooser: Path, binary: str, least: float) -> None:
    path = Path(binary)
    if not path.exists():
        pytest.skip(f"{binary} is not installed")
    instructions = disassemble(path)
    boundaries = {i.address for i in instructions}
    first = instructions[0].address
    text = bytearray(instructions[-1].address + len(instructions[-1].code) - first)
    for instruction in instructions:
        text[instruction.address - first : instruction.address - first + len(instruction.code)] = instruction.code
    calls = [i.address for i in instructions if i.text == "syscall"]
    sites = []
    for call in calls:
        start = max(first, call - NEIGHBOURHOOD)
        sites.append((UNKNOWN_RAX, call - start, bytes(text[start - first : call + NEIGHBOURHOOD - first])))
    patchable = 0
    for call, (before, after) in zip(calls, choose_all(chooser, sites), strict=True):
        patchable += before is not None or after is not None
        if before:
            assert call + before[0] in boundaries, hex(call)
            assert before[1] >= JUMP_SIZE
        if after:
            assert call + after[1] in boundaries, hex(call)
    assert len(calls) > 20
    assert patchable >= least * len(calls), f"{patchable} of {len(calls)}"
