"""SGX architectural structures and constants, as the Intel SDM vol. 3D lays them out.

Sizes and offsets are in bytes; every integer is little-endian. The C side of the same facts is
`enclave/include/sgx_arch.h`.
"""

import struct
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

PAGE_SIZE = 4096

ATTRIBUTE_INIT = 1 << 0
ATTRIBUTE_DEBUG = 1 << 1
ATTRIBUTE_MODE64 = 1 << 2

MISCSELECT_EXINFO = 1 << 0

XFRM_LEGACY = 0x3  # x87 and SSE: always set
_XFRM_AVX = 0x4
_XFRM_AVX512 = 0xE0
XFRM_SUPPORTED = 0xE7  # x87, SSE, AVX and the three AVX-512 components


class Secinfo(IntFlag):
    """SECINFO.FLAGS: access rights and, in bits 8 to 15, the page type (SDM 3D 34.12)."""

    R = 0x1
    W = 0x2
    X = 0x4
    TCS = 1 << 8
    REG = 2 << 8


@dataclass(frozen=True)
class Tcs:
    """The fields of a TCS that EADD takes (SDM 3D 34.8). Offsets are relative to the enclave's base."""

    ossa: int
    nssa: int
    oentry: int
    ogsbase: int
    ofsbase: int = 0

    def pack(self) -> bytes:
        head = struct.pack(
            "<QQQIIQQQQII",
            0,  # state: hardware-private
            0,  # flags
            self.ossa,
            0,  # cssa
            self.nssa,
            self.oentry,
            0,  # aep
            self.ofsbase,
            self.ogsbase,
            0xFFFFFFFF,  # fslimit, ignored in 64-bit mode
            0xFFFFFFFF,  # gslimit
        )
        return head.ljust(PAGE_SIZE, b"\0")


def host_xfrm() -> int:
    """The XSAVE components that this host's enclaves may use: XCR0 & XFRM_SUPPORTED.

    XGETBV is out of Python's reach, but the kernel lists a CPU's vector extensions only if XCR0 enables them.
    """
    xfrm = XFRM_LEGACY
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = line.split()
            if "avx" in flags:
                xfrm |= _XFRM_AVX
                if "avx512f" in flags:
                    xfrm |= _XFRM_AVX512
            break
    return xfrm
