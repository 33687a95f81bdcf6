"""enclave_host/teemate_uapi.py says what the kernel module's header and the SGX driver's say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from enclave_host import teemate_uapi

ROOT = Path(__file__).resolve().parents[2]

# Python name: C expression
CONSTANTS = {
    "IOC_SETUP": "TEEMATE_IOC_SETUP",
    "IOC_LEASE": "TEEMATE_IOC_LEASE",
    "IOC_REVOKE": "TEEMATE_IOC_REVOKE",
    "IOC_LEASE_INFO": "TEEMATE_IOC_LEASE_INFO",
    "IOC_INFO": "TEEMATE_IOC_INFO",
    "IOC_DEBUG_WRITE": "TEEMATE_IOC_DEBUG_WRITE",
    "IOC_ENCLAVE": "TEEMATE_IOC_ENCLAVE",
    "IOC_LEASE_FD": "TEEMATE_IOC_LEASE_FD",
    "SGX_IOC_ENCLAVE_CREATE": "SGX_IOC_ENCLAVE_CREATE",
    "SGX_IOC_ENCLAVE_ADD_PAGES": "SGX_IOC_ENCLAVE_ADD_PAGES",
    "SGX_IOC_ENCLAVE_INIT": "SGX_IOC_ENCLAVE_INIT",
    "SGX_PAGE_MEASURE": "SGX_PAGE_MEASURE",
    "RANGES_MAX": "TEEMATE_RANGES_MAX",
    "TCS_MAX": "TEEMATE_TCS_MAX",
    "SetupFlag.BACKING": "TEEMATE_SETUP_BACKING",
    "SetupFlag.LEASES_SURVIVE": "TEEMATE_SETUP_LEASES_SURVIVE",
    "RangeFlag.PRIVATE": "TEEMATE_RANGE_PRIVATE",
    "RangeFlag.GROW": "TEEMATE_RANGE_GROW",
    "RangeFlag.KEEP": "TEEMATE_RANGE_KEEP",
    "LeaseOption.SINGLE_MM": "TEEMATE_LEASE_SINGLE_MM",
    "_LEASE.size": "sizeof(struct teemate_lease)",
    "_RANGE.size": "sizeof(struct teemate_range)",
    "_INFO.size": "sizeof(struct teemate_info)",
    "_LEASE_INFO.size": "sizeof(struct teemate_lease_info)",
}


@pytest.fixture(scope="session")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The values of the C expressions, as a compiler sees them."""
    directory = tmp_path_factory.mktemp("uapi")
    lines = "\n".join(f'printf("%s %llu\\n", "{name}", (unsigned long long)({c}));' for name, c in CONSTANTS.items())
    source = directory / "constants.c"
    source.write_text(f'#include <stdio.h>\n#include <asm/sgx.h>\n#include "teemate.h"\nint main(void) {{ {lines} }}\n')
    program = directory / "constants"
    subprocess.run(["gcc", f"-I{ROOT / 'kernel_module' / 'uapi'}", "-o", program, source], check=True)
    output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in (line.split() for line in output.splitlines())}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant_is_mirrored(header: dict[str, int], name: str) -> None:
    value: object = teemate_uapi
    for part in name.split("."):
        value = getattr(value, part)
    assert value == header[name]
