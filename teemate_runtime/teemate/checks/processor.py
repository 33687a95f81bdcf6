"""The CPU: is there SGX, and has it what the software model needs?"""

from __future__ import annotations

import os
from pathlib import Path

from teemate_runtime.teemate.checks.finding import Finding, lack, note, ok

_SGX_DEVICE = Path("/dev/sgx_enclave")
CONFIDENTIALITY = "Confidentiality"
SOFTWARE_MODEL = (
    "enclaves are the SOFTWARE MODEL of SGX: NO CONFIDENTIALITY. Whoever has root on this host can read every program"
    " in them"
)


def run() -> list[Finding]:
    flags = cpu_flags()
    return [_confidentiality(), _sgx(flags), _device(flags), _fsgsbase(flags), _cpuid_faulting(flags)]


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def _sgx(flags: frozenset[str]) -> Finding:
    if "sgx" not in flags:
        return note("CPU: SGX", "not offered", cure="none by software: a CPU with SGX, and SGX enabled in the firmware")
    if "sgx_lc" not in flags:
        return note("CPU: SGX", "without flexible launch control", cure="enable it in the firmware: Linux needs it")
    return ok("CPU: SGX", "with flexible launch control")


def _device(flags: frozenset[str]) -> Finding:
    if _SGX_DEVICE.exists():
        return ok("Linux: /dev/sgx_enclave", "present")
    cure = "a kernel with CONFIG_X86_SGX" if "sgx" in flags else "comes with an SGX CPU"
    return note("Linux: /dev/sgx_enclave", "absent", cure=cure)


def _fsgsbase(flags: frozenset[str]) -> Finding:
    if "fsgsbase" in flags:
        return ok("CPU: FSGSBASE", "offered")
    return lack("CPU: FSGSBASE", "not offered: enclaves cannot be entered", cure="a CPU since 2012, Linux 5.9 or newer")


def _cpuid_faulting(flags: frozenset[str]) -> Finding:
    if "cpuid_fault" in flags:
        return ok("CPU: CPUID faulting", "offered: CPUID faults in the model as in a real enclave")
    return note("CPU: CPUID faulting", "not offered: a program in the model sees the host's CPUID", cure="another CPU")


def _confidentiality() -> Finding:
    cure = "the hardware provider, on a host with SGX" if os.access(_SGX_DEVICE, os.F_OK) else "a host with SGX"
    return note(CONFIDENTIALITY, SOFTWARE_MODEL, cure=cure)
