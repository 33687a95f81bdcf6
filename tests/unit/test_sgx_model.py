"""The software model of ENCLU against the SDM and the vDSO's contract, with a fake enclave instead of the LibOS."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE

HERE = Path(__file__).resolve().parent / "sgx_model"
BUILD = HERE.parents[2] / "build" / "tests" / "sgx_model"
CASES = [
    "exit",
    "bad-arguments",
    "refusals",
    "exceptions",
    "nowhere",
    "other-leaves",
    "breakpoint",
    "sent-fault-signal",
    "recovery",
    "storm-inside",
    "storm-windows",
]
# Ranges in which ENCLU must be atomic: first symbol, and the one behind the last instruction
WINDOWS = [
    ("enclave_call_window_start", "enclave_call_window_end"),
    ("model_enclu", "model_eresume_end"),
]
GATE = ("6ffff0000000", "6ffff0001000")
ENCLAVE = ("700000000000", "700000010000")
# What one cycle of the driver executes there at the least: four EENTERs, an ERESUME, five EEXITs, an EACCEPT
BOUNDARIES_MIN = 200


@pytest.fixture(scope="module")
def driver() -> Path:
    subprocess.run(["make", "--silent", "-C", HERE], check=True, stdout=subprocess.PIPE)
    return BUILD / "driver"


def symbols(program: Path) -> dict[str, str]:
    listing = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
    return {name: address for address, _, name in (line.split() for line in listing.splitlines())}


def run(*command: str | Path, limit: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=limit)


@pytest.mark.parametrize("case", CASES)
def test_case(driver: Path, case: str) -> None:
    result = run(driver, case)
    assert (result.returncode, result.stderr) == (0, "")


def test_cpuid_is_illegal_inside_and_works_outside(driver: Path) -> None:
    if "cpuid_fault" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU cannot make CPUID fault")
    result = run(driver, "cpuid")
    assert (result.returncode, result.stderr) == (0, "")


def test_avx_state_survives_signals(driver: Path) -> None:
    if " avx " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no AVX")
    result = run(driver, "storm-wide")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_failed_check_is_noticed(driver: Path) -> None:
    assert run(driver, "no-such-case").returncode == 2


def test_signal_at_every_instruction_boundary(driver: Path) -> None:
    address = symbols(driver)
    ranges = [bound for first, end in WINDOWS for bound in (address[first], address[end])]
    stops = address["traced_cycle"], address["signal_restorer"]
    result = run(BUILD / "tracer", driver, *stops, *ranges, *GATE, *ENCLAVE)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) > BOUNDARIES_MIN
