"""A strict reader of the SGXS stream, written from the SDM (vol. 3D, ECREATE, EADD, EEXTEND). It shares no code and no
constants with the builder: what it accepts is what hardware would have hashed."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

PAGE = 0x1000
TYPE_TCS, TYPE_REG = 1, 2


class SgxsError(Exception):
    """The stream is not what an enclave's construction hashes."""


@dataclass
class Page:
    offset: int
    flags: int
    content: bytes | None  # None: added, not measured

    @property
    def type(self) -> int:
        return self.flags >> 8 & 0xFF

    @property
    def permissions(self) -> int:
        return self.flags & 7


@dataclass
class Sgxs:
    ssa_frame_pages: int
    size: int
    pages: list[Page]
    mrenclave: str


def parse(stream: bytes) -> Sgxs:
    """Parse the whole stream. Raises SgxsError at the first byte out of order."""
    at = 0

    def take(count: int, what: str) -> bytes:
        nonlocal at
        if at + count > len(stream):
            raise SgxsError(f"stream ends within {what}")
        at += count
        return stream[at - count : at]

    def fail(text: str) -> None:
        raise SgxsError(f"at byte {at}: {text}")

    first = take(64, "ECREATE")
    if first[:8] != b"ECREATE\0":
        fail("the first record is not ECREATE")
    ssa_frame_pages, size = struct.unpack("<IQ", first[8:20])
    if any(first[20:]):
        fail("nonzero reserved bytes in ECREATE")
    if ssa_frame_pages == 0:
        fail("no SSA frame")
    if size < 2 * PAGE or size & (size - 1):
        fail(f"enclave size {size:#x} is no power of two")

    pages: list[Page] = []
    seen: set[int] = set()
    while at < len(stream):
        add = take(64, "EADD")
        if add[:8] != b"EADD\0\0\0\0":
            fail(f"{add[:8]!r} where only EADD can be")
        offset, flags = struct.unpack("<QQ", add[8:24])
        if any(add[24:]):
            fail("nonzero reserved bytes in SECINFO")
        page = Page(offset, flags, None)
        if offset % PAGE or offset >= size:
            fail(f"page at {offset:#x} is unaligned or outside of ELRANGE")
        if offset in seen:
            fail(f"page at {offset:#x} is added twice")
        seen.add(offset)
        if flags & ~0xFF07:
            fail(f"reserved SECINFO flags: {flags:#x}")
        if page.type == TYPE_TCS:
            if page.permissions:
                fail("a TCS with permissions")
        elif page.type == TYPE_REG:
            if not page.permissions & 1:
                fail("a regular page that cannot be read")
        else:
            fail(f"page type {page.type} cannot be added")
        if stream[at : at + 8] == b"EEXTEND\0":
            content = b""
            for chunk in range(offset, offset + PAGE, 256):
                extend = take(64, "EEXTEND")
                if extend[:8] != b"EEXTEND\0" or struct.unpack("<Q", extend[8:16])[0] != chunk or any(extend[16:]):
                    fail(f"no clean EEXTEND of {chunk:#x} where it must be")
                content += take(256, "the data of EEXTEND")
            page.content = content
        pages.append(page)
    return Sgxs(ssa_frame_pages, size, pages, hashlib.sha256(stream).hexdigest())
