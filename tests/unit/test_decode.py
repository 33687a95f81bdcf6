"""enclave/decode.c against objdump, over the text that it will meet: C libraries, loaders, interpreters."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RIP_RELATIVE, BRANCH, SYSCALL = 1, 2, 4
INSTRUCTION_SIZE_MAX = 15
FWAIT = 0x9B

BINARIES = [
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-musl/libc.so",
    "/usr/bin/python3.11",
    "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
]

# What objdump prints for bytes that are no instruction, or that it decodes as several things at once.
UNDECODED = re.compile(r"\(bad\)|^\.byte|^data16$|^rex\S*$|^addr32$|^(repz?|repnz|lock|[c-gs]s)$|^(cs )+$")
# With a prefix that changes nothing objdump writes the mnemonic in another place
BRANCHES = re.compile(
    r"^(bnd |notrack |[c-gs]s |rep[nz]* |data16 |addr32 |rex\S* )*"
    r"(j\w+|call\w*|ret\w*|loop\w*|int3?|int1|iret\w*|hlt|ud2|syscall|sysenter|sysexit\w*|sysret\w*|lret\w*|lcall|ljmp)\b"
)


@dataclass(frozen=True)
class Instruction:
    address: int
    code: bytes
    text: str


def disassemble(binary: Path) -> list[Instruction]:
    """What objdump finds in .text, without what it cannot decode itself."""
    command = ["objdump", "--disassemble", "--section=.text", "--wide", str(binary)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = []
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) < 3:
            continue
        text = fields[2].split("#")[0].strip()
        code = bytes.fromhex(fields[1])
        joined = len(code) > 1 and code[0] == FWAIT  # with the x87 instruction that follows
        if text and not joined and not UNDECODED.search(text):
            found.append(Instruction(int(fields[0].strip().rstrip(":"), 16), code, text))
    return found


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("decode") / "decode_dump"
    sources = [ROOT / "tests/unit/native/decode_dump.c", ROOT / "enclave/decode.c"]
    subprocess.run(
        ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-o", program, *sources],
        check=True,
    )
    return program


def decode(decoder: Path, lines: list[str]) -> list[tuple[int, int]]:
    run = subprocess.run([decoder], input="\n".join(lines), check=True, capture_output=True, text=True)
    return [(int(size), int(flags)) for _, size, flags in (line.split() for line in run.stdout.splitlines())]


def decode_one(decoder: Path, code: str) -> tuple[int, int]:
    return decode(decoder, [f"0 {code}"])[0]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump (binutils) is not installed")
@pytest.mark.parametrize("binary", BINARIES)
def test_agrees_with_objdump(decoder: Path, binary: str) -> None:
    path = Path(binary)
    if not path.exists():
        pytest.skip(f"{binary} is not installed")
    instructions = disassemble(path)
    assert len(instructions) > 10_000
    padding = b"\x90" * INSTRUCTION_SIZE_MAX  # bytes that follow must not matter
    lines = [f"{i.address:x} {(i.code + padding)[:24].hex()}" for i in instructions]
    wrong = []
    for instruction, (size, flags) in zip(instructions, decode(decoder, lines), strict=True):
        branches = bool(BRANCHES.match(instruction.text))
        if (
            size != len(instruction.code)
            or bool(flags & BRANCH) != branches
            or bool(flags & RIP_RELATIVE) != ("(%rip)" in instruction.text or "(%eip)" in instruction.text)
            or bool(flags & SYSCALL) != (instruction.text == "syscall")
        ):
            wrong.append(f"{instruction.address:x}: {instruction.code.hex()} {instruction.text}: {size=} {flags=}")
    assert not wrong, f"{len(wrong)} of {len(instructions)}:\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize(
    ("code", "size", "flags"),
    [
        ("0f05", 2, BRANCH | SYSCALL),
        ("b827000000", 5, 0),
        ("48c7c027000000", 7, 0),
        ("48b80102030405060708", 10, 0),
        ("66b80102", 4, 0),
        ("483d01f0ffff", 6, 0),
        ("4c895c2408", 5, 0),
        ("8b0511223344", 6, RIP_RELATIVE),
        ("f60511223344ff", 7, RIP_RELATIVE),
        ("f61511223344", 6, RIP_RELATIVE),
        ("f7c011223344", 6, 0),
        ("a11122334455667788", 9, 0),
        ("67a111223344", 6, 0),
        ("8b042511223344", 7, 0),
        ("8b4c2510", 4, 0),
        ("e8f0ffffff", 5, BRANCH),
        ("0f84f0ffffff", 6, BRANCH),
        ("ff25aabbccdd", 6, BRANCH | RIP_RELATIVE),
        ("ff742408", 4, 0),
        ("c5f877", 3, 0),
        ("c5f1720010", 5, 0),
        ("c4e37d190001", 6, 0),
        ("62f1fd487f0425aabbccdd", 11, 0),
        ("62f3fd4838c001", 7, 0),
        ("0f01d0", 3, 0),
        ("0f01d7", 3, 0),
    ],
)
def test_known_instructions(decoder: Path, code: str, size: int, flags: int) -> None:
    assert decode_one(decoder, code) == (size, flags)


@pytest.mark.parametrize(
    "code", ["06", "0e", "27", "62", "9a1122334455aa", "0f", "0f04", "48", "66", "ffff", "4048c0", "8fe878c2ec0e"]
)
def test_invalid_or_incomplete_instructions(decoder: Path, code: str) -> None:
    assert decode_one(decoder, code) == (0, 0)


def test_every_truncation_is_refused(decoder: Path) -> None:
    whole = "48c784241122334455667788"
    assert decode_one(decoder, whole)[0] == len(whole) // 2
    for size in range(1, len(whole) // 2):
        assert decode_one(decoder, whole[: 2 * size]) == (0, 0)


def test_too_many_prefixes_are_refused(decoder: Path) -> None:
    assert decode_one(decoder, "66" * 13 + "90")[0] == 14
    assert decode_one(decoder, "66" * 15 + "90") == (0, 0)
