"""What an enclave is built of: the ordered page ranges of an image in a layout. A pure function."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_host import layout
from enclave_host.config import Heap, PoolConfig
from enclave_host.image import EnclaveImage
from enclave_host.sgx import PAGE_SIZE, Secinfo, Tcs

_READ_WRITE = Secinfo.REG | Secinfo.R | Secinfo.W
# The application heap holds code as well as data; the LibOS narrows the permissions of each mapping.
_READ_WRITE_EXECUTE = _READ_WRITE | Secinfo.X

_LIBOS_TABLES = (
    (layout.VMAS_OFFSET, layout.VMAS_SIZE),
    (layout.DIRTY_MAP_OFFSET, layout.DIRTY_MAP_SIZE),
    (layout.LIBOS_HEAP_OFFSET, layout.LIBOS_HEAP_SIZE),
)


@dataclass(frozen=True)
class EnclaveLayout:
    """The choices that shape an enclave, and with the image alone decide its MRENCLAVE."""

    compartments: int
    threads: int
    heap: Heap
    heap_size: int = 0

    @classmethod
    def of_pool(cls, pool: PoolConfig) -> "EnclaveLayout":
        heap_size = 0 if pool.heap is Heap.ON_DEMAND else pool.heap_size
        return cls(compartments=pool.compartments, threads=pool.threads, heap=pool.heap, heap_size=heap_size)

    @property
    def enclave_size(self) -> int:
        return layout.enclave_size(self.compartments)


@dataclass(frozen=True)
class PageRange:
    """Consecutive pages that are added alike. `content` None: zero pages. `offset` is enclave-relative."""

    offset: int
    size: int
    secinfo: Secinfo
    measured: bool
    content: bytes | None = None

    @property
    def count(self) -> int:
        """How many pages."""
        return self.size // PAGE_SIZE


@dataclass(frozen=True)
class Blueprint:
    """ECREATE's arguments and every EADD, in order."""

    enclave_size: int
    ssa_frame_pages: int
    ranges: tuple[PageRange, ...]


def draw_blueprint(image: EnclaveImage, plan: EnclaveLayout) -> Blueprint:
    """The pages of an enclave, in ascending order of address."""
    ranges = [
        PageRange(
            offset=segment.offset,
            size=len(segment.content),
            secinfo=segment.permissions,
            measured=True,
            content=segment.content,
        )
        for segment in image.segments
    ]
    for index in range(plan.compartments):
        ranges += _compartment(image, plan, index)
    return Blueprint(
        enclave_size=plan.enclave_size,
        ssa_frame_pages=layout.SSA_FRAME_SIZE // PAGE_SIZE,
        ranges=tuple(ranges),
    )


def _compartment(image: EnclaveImage, plan: EnclaveLayout, index: int) -> Iterator[PageRange]:
    start = layout.compartment_offset(index)
    heap_is_measured = plan.heap is Heap.MEASURED
    yield PageRange(offset=start + layout.HEADER_OFFSET, size=layout.HEADER_SIZE, secinfo=_READ_WRITE, measured=True)
    for slot in range(plan.threads):
        yield from _thread(image, index, slot, stacks_are_measured=heap_is_measured)
    if plan.heap is Heap.ON_DEMAND:
        return
    for offset, size in _LIBOS_TABLES:
        yield PageRange(offset=start + offset, size=size, secinfo=_READ_WRITE, measured=heap_is_measured)
    for offset, size in (
        (layout.TRAMPOLINES_OFFSET, layout.TRAMPOLINES_SIZE),
        (layout.APP_OFFSET, plan.heap_size),
    ):
        yield PageRange(offset=start + offset, size=size, secinfo=_READ_WRITE_EXECUTE, measured=heap_is_measured)


def _thread(image: EnclaveImage, index: int, slot: int, *, stacks_are_measured: bool) -> Iterator[PageRange]:
    block = layout.thread_block(index, slot)
    tcs = Tcs(ossa=block.ssa, nssa=layout.SSA_FRAMES, oentry=image.entry, ogsbase=block.tcb)
    yield PageRange(offset=block.tcs, size=PAGE_SIZE, secinfo=Secinfo.TCS, measured=True, content=tcs.pack())
    # SSA frames and thread control block lie side by side.
    state_size = layout.SSA_FRAMES * layout.SSA_FRAME_SIZE + layout.THREAD_TCB_SIZE
    yield PageRange(offset=block.ssa, size=state_size, secinfo=_READ_WRITE, measured=True)
    for offset, size in (
        (block.exception_stack, layout.THREAD_EXCEPTION_STACK_TOP - layout.THREAD_EXCEPTION_STACK),
        (block.stack, layout.THREAD_STACK_TOP - layout.THREAD_STACK),
    ):
        yield PageRange(offset=offset, size=size, secinfo=_READ_WRITE, measured=stacks_are_measured)
