"""Builds small ELF files field by field, right ones and wrong ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 1, 2, 3, 0x6474E551
X, W, R = 1, 2, 4
ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_386, EM_X86_64, EM_AARCH64 = 3, 62, 183


@dataclass(frozen=True)
class Segment:
    type: int = PT_LOAD
    flags: int = R
    offset: int = 0
    address: int = 0
    file_size: int = 0x1000
    memory_size: int = 0x1000
    align: int = 0x1000

    def pack(self) -> bytes:
        return struct.pack(
            "<IIQQQQQQ",
            self.type,
            self.flags,
            self.offset,
            self.address,
            self.address,
            self.file_size,
            self.memory_size,
            self.align,
        )


# Read-only, text, data with 0x2000 bytes of zeros behind it
USUAL_SEGMENTS = (
    Segment(),
    Segment(flags=R | X, offset=0x1000, address=0x1000),
    Segment(flags=R | W, offset=0x2800, address=0x3800, file_size=0x400, memory_size=0x2400),
)


@dataclass(frozen=True)
class ElfFile:
    """A position-independent program with the usual three segments, unless told otherwise."""

    magic: bytes = b"\x7fELF"
    bits: int = 2
    endianness: int = 1
    identity_version: int = 1
    type: int = ET_DYN
    machine: int = EM_X86_64
    version: int = 1
    entry: int = 0x1000
    headers_offset: int = 64
    headers_entry_size: int = 56
    headers_count: int | None = None  # None: as many as there are
    segments: tuple[Segment, ...] = USUAL_SEGMENTS
    size: int = 0x3000
    content: dict[int, bytes] = field(default_factory=dict)

    def pack(self) -> bytes:
        identity = self.magic + bytes([self.bits, self.endianness, self.identity_version])
        count = len(self.segments) if self.headers_count is None else self.headers_count
        header = struct.pack(
            "<16sHHIQQQIHHHHHH",
            identity,
            self.type,
            self.machine,
            self.version,
            self.entry,
            self.headers_offset,
            0,
            0,
            64,
            self.headers_entry_size,
            count,
            64,
            0,
            0,
        )
        image = bytearray(max(self.size, 64 + 56 * len(self.segments)))
        image[: len(header)] = header
        for index, segment in enumerate(self.segments):
            image[64 + 56 * index : 64 + 56 * (index + 1)] = segment.pack()
        for offset, content in self.content.items():
            image[offset : offset + len(content)] = content
        return bytes(image[: self.size])

    def with_segment(self, index: int, **changes: int) -> ElfFile:
        segments = list(self.segments)
        segments[index] = replace(segments[index], **changes)
        return replace(self, segments=tuple(segments))

    def with_more(self, *segments: Segment) -> ElfFile:
        return replace(self, segments=(*self.segments, *segments))
