"""Enclaves for the guest to load: pages, the expected MRENCLAVE and a signature, in one file each.

File: magic "TMEN", u32 number of entries, u64 base, u64 size, u32 SSA frame pages, u32 zero, MRENCLAVE, SIGSTRUCT;
then each entry: u64 offset, u64 length, u64 SECINFO flags, u32 measured, u32 has content; then the contents.
"""

from __future__ import annotations

import datetime
import struct
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from enclave_host import sigstruct
from enclave_host.blueprint import Blueprint, PageRange
from enclave_host.measure import measure
from enclave_host.sgx import PAGE_SIZE, Secinfo, Tcs

BASE = 0x7000_0000_0000
_READ_WRITE = Secinfo.REG | Secinfo.R | Secinfo.W


def _pages(first: int, count: int, secinfo: Secinfo, *, measured: bool, content: bytes | None = None) -> PageRange:
    return PageRange(
        offset=first * PAGE_SIZE, size=count * PAGE_SIZE, secinfo=secinfo, measured=measured, content=content
    )


def _pattern(first: int, count: int) -> bytes:
    """Each eight bytes tell their page and their place in it: what guest/enclave.h expects."""
    return struct.pack(
        f"<{count * 512}Q",
        *((page << 24) + offset for page in range(first, first + count) for offset in range(0, PAGE_SIZE, 8)),
    )


def standard() -> Blueprint:
    """16 MiB: pages 0-3 code, 4-7 data, 8-15 TCS, 16-31 zeros, 32-47 a pattern, 64-191 eight areas of 16 zeros."""
    tcs = Tcs(ossa=16 * PAGE_SIZE, nssa=2, oentry=0, ogsbase=18 * PAGE_SIZE).pack()
    return Blueprint(
        enclave_size=4096 * PAGE_SIZE,
        ssa_frame_pages=1,
        ranges=(
            _pages(0, 4, Secinfo.REG | Secinfo.R | Secinfo.X, measured=True, content=_pattern(0, 4)),
            _pages(4, 4, _READ_WRITE, measured=True, content=_pattern(4, 4)),
            _pages(8, 8, Secinfo.TCS, measured=True, content=tcs * 8),
            _pages(16, 16, _READ_WRITE, measured=True),
            _pages(32, 16, _READ_WRITE, measured=False, content=_pattern(32, 16)),
            _pages(64, 128, _READ_WRITE, measured=False),
        ),
    )


def probe(code: bytes) -> Blueprint:
    """4 MiB, with the layout of guest/probe_ops.h, to be entered on its eight TCSs."""
    tcs = b"".join(
        Tcs(
            ossa=(16 + 2 * number) * PAGE_SIZE,
            nssa=2,
            oentry=0,
            ofsbase=(32 + number) * PAGE_SIZE,
            ogsbase=(40 + number) * PAGE_SIZE,
        ).pack()
        for number in range(8)
    )
    return Blueprint(
        enclave_size=1024 * PAGE_SIZE,
        ssa_frame_pages=1,
        ranges=(
            _pages(0, 4, Secinfo.REG | Secinfo.R | Secinfo.X, measured=True, content=code.ljust(4 * PAGE_SIZE, b"\0")),
            _pages(8, 8, Secinfo.TCS, measured=True, content=tcs),
            _pages(16, 48, _READ_WRITE, measured=True),
        ),
    )


def write(path: Path, blueprint: Blueprint) -> None:
    """Sign with a fresh key and write the file."""
    mrenclave = measure(blueprint)
    key = generate_private_key(public_exponent=sigstruct.EXPONENT, key_size=sigstruct.KEY_SIZE * 8)
    signed = sigstruct.sign(mrenclave, key, date=datetime.date(2024, 1, 1))
    with path.open("wb") as file:
        file.write(
            struct.pack(
                "<4sIQQII", b"TMEN", len(blueprint.ranges), BASE, blueprint.enclave_size, blueprint.ssa_frame_pages, 0
            )
        )
        file.write(mrenclave + signed)
        for pages in blueprint.ranges:
            file.write(
                struct.pack(
                    "<QQQII", pages.offset, pages.size, pages.secinfo, pages.measured, pages.content is not None
                )
            )
        for pages in blueprint.ranges:
            file.write(pages.content or b"")
