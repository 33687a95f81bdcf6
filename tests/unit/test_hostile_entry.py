"""The built image against a host that enters it wrongly. No SGX and no mate: the test plays both."""

import subprocess
from pathlib import Path

import pytest

from enclave_host.image import load_image
from tests.harness.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "build" / "libos.elf"
NATIVE = ROOT / "tests" / "unit" / "native"
LABELS = (
    "enclave_entry",
    "program_resume",
    "program_resume_end",
    "usercopy_start",
    "usercopy_fault",
    "frame_call",
    "clock_try_tsc",
    "clock_no_tsc",
)
CASES = (
    "order",
    "return-twice",
    "scrub",
    "prepare",
    "scrub-refused",
    "scrub-impossible",
    "scrub-while-inside",
    "start-thread",
    "start-thread-after-scrub",
    "pointers",
    "buffer",
    "exceptions",
    "own-fault",
)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The program, and its arguments after the case."""
    if not IMAGE.exists():
        pytest.skip("build/libos.elf does not exist: make enclave")
    if "fsgsbase" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("the CPU has no FSGSBASE")
    directory = tmp_path_factory.mktemp("hostile")
    image = load_image(IMAGE)
    raw = bytearray(image.size)
    for segment in image.segments:
        raw[segment.offset : segment.offset + len(segment.content)] = segment.content
    (directory / "image").write_bytes(raw)
    program = directory / "hostile_entry"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-mfsgsbase", "-mxsave", "-std=gnu11"]
    sources = [NATIVE / name for name in ("hostile_entry.c", "hostile_host.c", "hostile_scrub.c", "hostile_entry.S")]
    subprocess.run(["gcc", *flags, "-o", program, *sources], check=True)
    symbols = subprocess.run(["nm", IMAGE], check=True, capture_output=True, text=True).stdout
    addresses = {name: address for address, _, name in (line.split() for line in symbols.splitlines())}
    sites = ",".join(f"{site:x}" for site in image.enclu_sites)
    return str(program), [str(directory / "image"), sites, *(addresses[label] for label in LABELS)]


@pytest.mark.parametrize("case", CASES)
def test_hostile_entry(command: tuple[str, list[str]], case: str) -> None:
    program, arguments = command
    run = subprocess.run([program, case, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 0, run.stdout + run.stderr
