"""MRENCLAVE and the SGXS stream, read back by a parser that shares nothing with the builder."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path

import pytest

from enclave_host.blueprint import Blueprint, EnclaveLayout, PageRange, draw_blueprint
from enclave_host.config import Heap
from enclave_host.image import load_image
from enclave_host.image_export import export_sgxs, measure_image
from enclave_host.measure import measure, sgxs_stream
from enclave_host.sgx import Secinfo
from tests.unit.fake_host import write_image
from tests.unit.sgxs_parser import TYPE_REG, TYPE_TCS, Page, SgxsError, parse

STRIDE = 1 << 32
RW, RWX = 3, 7
PLANS = {
    "on demand": EnclaveLayout(compartments=2, threads=3, heap=Heap.ON_DEMAND),
    "unmeasured": EnclaveLayout(compartments=1, threads=1, heap=Heap.UNMEASURED, heap_size=1 << 20),
    "measured": EnclaveLayout(compartments=1, threads=2, heap=Heap.MEASURED, heap_size=3 << 20),
}


def joined(blueprint: Blueprint) -> bytes:
    return b"".join(bytes(chunk) for chunk in sgxs_stream(blueprint))  # a chunk lives until the next one


def stream_of(tmp_path: Path, plan: EnclaveLayout) -> bytes:
    blueprint = draw_blueprint(load_image(write_image(tmp_path / "image")), plan)
    return joined(blueprint)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_stream_is_strictly_sgxs_and_its_hash_is_mrenclave(tmp_path: Path, plan: EnclaveLayout) -> None:
    image = write_image(tmp_path / "image")
    exported = io.BytesIO()
    measurement = export_sgxs(image, plan, exported)
    sgxs = parse(exported.getvalue())
    assert sgxs.mrenclave == measurement.mrenclave == measure_image(image, plan).mrenclave
    assert measurement.stream_size == len(exported.getvalue())
    assert (len(sgxs.pages), sum(page.content is not None for page in sgxs.pages)) == (
        measurement.pages,
        measurement.measured_pages,
    )
    assert sgxs.size == measurement.enclave_size >= (plan.compartments + 1) * STRIDE
    assert [page.offset for page in sgxs.pages] == sorted(page.offset for page in sgxs.pages)


def test_pages_are_those_of_the_layout(tmp_path: Path) -> None:
    """Offsets written out from enclave/include/layout.h."""
    pages = {page.offset: page for page in parse(stream_of(tmp_path, PLANS["on demand"])).pages}
    assert pages[0].permissions == 5 and pages[0].content is not None and pages[0].content.startswith(b"\x90")
    assert pages[0x1000].permissions == 1 and pages[0x1000].content is not None
    expected = {0, 0x1000}
    for index in range(2):
        base = (index + 1) * STRIDE
        header = range(base, base + 0x40000, 0x1000)
        expected.update(header)
        assert all(is_measured_zero(pages[offset], RW) for offset in header)
        for slot in range(3):
            block = base + 0x100000 + slot * 0x10000
            check_tcs(pages[block], block)
            state = range(block + 0x1000, block + 0x6000, 0x1000)
            stacks = [*range(block + 0x7000, block + 0x9000, 0x1000), *range(block + 0xA000, block + 0x10000, 0x1000)]
            assert all(is_measured_zero(pages[offset], RW) for offset in state)
            assert all(pages[o].content is None and pages[o].permissions == RW for o in stacks)
            expected.update((block, *state, *stacks))
    assert pages.keys() == expected


def check_tcs(page: Page, block: int) -> None:
    assert page.type == TYPE_TCS and page.content is not None
    fields = struct.unpack_from("<QQQIIQQQQII", page.content)
    #                state, flags, ossa, cssa, nssa, oentry, aep, ofsbase, ogsbase, fs and gs limit
    assert fields == (0, 0, block + 0x1000, 0, 2, 0, 0, 0, block + 0x3000, 0xFFFFFFFF, 0xFFFFFFFF)
    assert not any(page.content[72:])


def is_measured_zero(page: Page, permissions: int) -> bool:
    return page.type == TYPE_REG and page.permissions == permissions and page.content == bytes(4096)


@pytest.mark.parametrize(("name", "measured"), [("unmeasured", False), ("measured", True)])
def test_heap_is_added_as_the_variant_says(tmp_path: Path, name: str, measured: bool) -> None:
    plan = PLANS[name]
    pages = {page.offset: page for page in parse(stream_of(tmp_path, plan)).pages}
    heap = range(STRIDE + 0x2000000, STRIDE + 0x2000000 + plan.heap_size, 0x1000)
    tables = [
        page
        for start, size in ((0x1200000, 0x200000), (0x1400000, 0x20000), (0x1440000, 0x3C0000), (0x1800000, 0x200000))
        for page in range(STRIDE + start, STRIDE + start + size, 0x1000)
    ]
    for offset in (*heap, *tables):
        assert (pages[offset].content is not None) is measured
    assert all(pages[offset].permissions == RWX for offset in heap)
    assert max(pages) == heap[-1]


def test_zero_pages_are_measured_as_any_others() -> None:
    """The fast path for zero pages gives the same stream as pages whose content happens to be zero."""

    def blueprint(content: bytes | None) -> Blueprint:
        size = 300 * 4096  # more than a chunk, and not a multiple of one
        pages = PageRange(offset=5 << 32, size=size, secinfo=Secinfo.REG | Secinfo.R, measured=True, content=content)
        return Blueprint(enclave_size=1 << 36, ssa_frame_pages=1, ranges=(pages,))

    fast, plain = blueprint(None), blueprint(bytes(300 * 4096))
    assert joined(fast) == joined(plain)
    assert measure(fast) == measure(plain)


def test_mrenclave_by_the_book() -> None:
    """A two-page enclave, its hash input written out by hand."""
    content = bytes(range(256)) * 16
    blueprint = Blueprint(
        enclave_size=0x4000,
        ssa_frame_pages=1,
        ranges=(
            PageRange(offset=0, size=4096, secinfo=Secinfo.REG | Secinfo.R | Secinfo.X, measured=True, content=content),
            PageRange(offset=0x3000, size=4096, secinfo=Secinfo.REG | Secinfo.R | Secinfo.W, measured=False),
        ),
    )
    expected = b"ECREATE\0" + bytes.fromhex("01000000 0040000000000000") + bytes(44)
    expected += b"EADD\0\0\0\0" + bytes(8) + bytes.fromhex("0502000000000000") + bytes(40)
    for chunk in range(16):
        expected += b"EEXTEND\0" + (chunk * 256).to_bytes(8, "little") + bytes(48) + bytes(range(256))
    expected += b"EADD\0\0\0\0" + bytes.fromhex("0030000000000000 0302000000000000") + bytes(40)
    assert measure(blueprint) == hashlib.sha256(expected).digest()


def test_everything_counts(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image")
    other = write_image(tmp_path / "other", text=b"\x91" * 16 + b"\x0f\x01\xd7\x66\x90")
    plans = [
        *PLANS.values(),
        EnclaveLayout(compartments=3, threads=3, heap=Heap.ON_DEMAND),
        EnclaveLayout(compartments=2, threads=4, heap=Heap.ON_DEMAND),
    ]
    values = [measure_image(image, plan).mrenclave for plan in plans] + [measure_image(other, plans[0]).mrenclave]
    assert len(set(values)) == len(values)


GOOD_PAGE = b"EADD\0\0\0\0" + struct.pack("<QQ", 0, 0x201) + bytes(40)
GOOD_CREATE = b"ECREATE\0" + struct.pack("<IQ", 1, 0x4000) + bytes(44)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD_PAGE, id="no ECREATE"),
        pytest.param(GOOD_CREATE + GOOD_CREATE, id="two ECREATEs"),
        pytest.param(b"ECREATE\0" + struct.pack("<IQ", 1, 0x3000) + bytes(44), id="size"),
        pytest.param(GOOD_CREATE + GOOD_PAGE + GOOD_PAGE, id="page twice"),
        pytest.param(GOOD_CREATE + GOOD_PAGE[:8] + struct.pack("<QQ", 0x4000, 0x201) + bytes(40), id="outside"),
        pytest.param(GOOD_CREATE + GOOD_PAGE[:8] + struct.pack("<QQ", 0, 0x202) + bytes(40), id="write-only page"),
        pytest.param(GOOD_CREATE + GOOD_PAGE + b"EEXTEND\0" + struct.pack("<Q", 256) + bytes(304), id="EEXTEND order"),
        pytest.param(GOOD_CREATE + GOOD_PAGE + b"EEXTEND\0" + bytes(56 + 256), id="one EEXTEND only"),
        pytest.param(GOOD_CREATE + GOOD_PAGE + b"x", id="rest"),
    ],
)
def test_the_parser_is_strict(stream: bytes) -> None:
    assert parse(GOOD_CREATE + GOOD_PAGE).size == 0x4000
    with pytest.raises(SgxsError):
        parse(stream)
