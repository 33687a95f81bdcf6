"""The measurement of an enclave: the SGXS stream and its SHA-256, MRENCLAVE (SDM 3D 34.19, 39.3).

The stream is the input of the hash that ECREATE, EADD and EEXTEND update: 64-byte records, each EEXTEND's
followed by the 256 bytes it measures. Exporting the stream and measuring an enclave share this one source.
"""

import hashlib
import struct
from array import array
from collections.abc import Iterator

from enclave_host.blueprint import Blueprint, PageRange
from enclave_host.sgx import PAGE_SIZE, Secinfo

RECORD_SIZE = 64
EXTEND_SIZE = 256

_ECREATE = struct.Struct("<8sIQ44x")
_EADD = struct.Struct("<8sQQ40x")
_EEXTEND = struct.Struct("<8sQ48x")

_EXTENDS_PER_PAGE = PAGE_SIZE // EXTEND_SIZE
_EXTEND_STEP = RECORD_SIZE + EXTEND_SIZE
_MEASURED_PAGE_SIZE = RECORD_SIZE + _EXTENDS_PER_PAGE * _EXTEND_STEP
_OFFSET_FIELD = 8  # in every EADD and EEXTEND record
# Large enough to keep the hash busy, small enough to stay in the cache.
_ZERO_PAGES_PER_CHUNK = 128


def sgxs_create(blueprint: Blueprint) -> bytes:
    """The record of ECREATE."""
    return _ECREATE.pack(b"ECREATE", blueprint.ssa_frame_pages, blueprint.enclave_size)


def sgxs_add(pages: PageRange) -> Iterator[bytes | memoryview]:
    """The records that adding these pages contributes. Each chunk is valid until the next one is asked for."""
    if not pages.measured:
        for offset in range(pages.offset, pages.offset + pages.size, PAGE_SIZE):
            yield _EADD.pack(b"EADD", offset, pages.secinfo)
    elif pages.content is None:
        yield from _measured_zero_pages(pages)
    else:
        for start in range(0, pages.size, PAGE_SIZE):
            yield _measured_page(pages.offset + start, pages.secinfo, pages.content[start : start + PAGE_SIZE])


def sgxs_stream(blueprint: Blueprint) -> Iterator[bytes | memoryview]:
    """The whole stream; see sgxs_add about the life of its chunks."""
    yield sgxs_create(blueprint)
    for pages in blueprint.ranges:
        yield from sgxs_add(pages)


def measure(blueprint: Blueprint) -> bytes:
    """MRENCLAVE."""
    digest = hashlib.sha256()
    for chunk in sgxs_stream(blueprint):
        digest.update(chunk)
    return digest.digest()


def _measured_page(offset: int, secinfo: Secinfo, content: bytes) -> bytes:
    parts = [_EADD.pack(b"EADD", offset, secinfo)]
    for start in range(0, PAGE_SIZE, EXTEND_SIZE):
        parts.append(_EEXTEND.pack(b"EEXTEND", offset + start))
        parts.append(content[start : start + EXTEND_SIZE])
    return b"".join(parts)


def _measured_zero_pages(pages: PageRange) -> Iterator[memoryview]:
    """Zero pages differ in their offsets only: patch those into a prepared block, a column at a time."""
    count = min(pages.size // PAGE_SIZE, _ZERO_PAGES_PER_CHUNK)
    block = memoryview(bytearray(_measured_page(0, pages.secinfo, bytes(PAGE_SIZE)) * count))
    words = block.cast("Q")
    page_words = _MEASURED_PAGE_SIZE // 8
    for start in range(pages.offset, pages.offset + pages.size, count * PAGE_SIZE):
        end = min(start + count * PAGE_SIZE, pages.offset + pages.size)
        used = (end - start) // PAGE_SIZE
        used_words = used * page_words
        words[_OFFSET_FIELD // 8 : used_words : page_words] = array("Q", range(start, end, PAGE_SIZE))
        for extend in range(_EXTENDS_PER_PAGE):
            column = (RECORD_SIZE + extend * _EXTEND_STEP + _OFFSET_FIELD) // 8
            first = start + extend * EXTEND_SIZE
            words[column:used_words:page_words] = array("Q", range(first, end, PAGE_SIZE))
        yield block[: used * _MEASURED_PAGE_SIZE]
