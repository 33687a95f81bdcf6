"""Where everything in the enclave is: the Python mirror of `enclave/include/layout.h`.

A unit test compares the constants with the header. All offsets and sizes are in bytes.
"""

from dataclasses import dataclass

ENCLAVE_BASE = 0x7000_0000_0000
IMAGE_SIZE = 0x100_0000
COMPARTMENT_STRIDE = 0x1_0000_0000
ELRANGE_SIZE_MAX = 0x400_0000_0000

HEADER_OFFSET = 0x0
HEADER_SIZE = 0x4_0000
ACCEPTED_MAP_OFFSET = 0x2_0000
ACCEPTED_MAP_SIZE = 0x2_0000
THREADS_OFFSET = 0x10_0000
THREAD_STRIDE = 0x1_0000
THREADS_MAX = 256
THREAD_TCS = 0x0
THREAD_SSA = 0x1000
THREAD_TCB = 0x3000
THREAD_TCB_SIZE = 0x3000
THREAD_EXCEPTION_STACK = 0x7000
THREAD_EXCEPTION_STACK_TOP = 0x9000
THREAD_STACK = 0xA000
THREAD_STACK_TOP = 0x1_0000
SSA_FRAME_SIZE = 0x1000
SSA_FRAMES = 2
VMAS_OFFSET = 0x120_0000
VMAS_SIZE = 0x20_0000
DIRTY_MAP_OFFSET = 0x140_0000
DIRTY_MAP_SIZE = 0x2_0000
LIBOS_HEAP_OFFSET = 0x144_0000
LIBOS_HEAP_SIZE = 0x3C_0000
TRAMPOLINES_OFFSET = 0x180_0000
TRAMPOLINES_SIZE = 0x20_0000
APP_OFFSET = 0x200_0000
APP_CODE_END = 0x4000_0000
APP_END = COMPARTMENT_STRIDE

MATE_TEXT = 0x6FFF_F000_0000
MODEL_ENCLU_GATE = MATE_TEXT


def enclave_size(compartments: int) -> int:
    """Size of ELRANGE: the smallest power of two that holds the image region and all compartments."""
    return 1 << ((compartments + 1) * COMPARTMENT_STRIDE - 1).bit_length()


def compartment_offset(index: int) -> int:
    """Offset of a compartment from the enclave's base."""
    return (index + 1) * COMPARTMENT_STRIDE


@dataclass(frozen=True)
class ThreadBlock:
    """Enclave-relative offsets of one thread's pages."""

    tcs: int
    ssa: int
    tcb: int
    exception_stack: int
    stack: int


def thread_block(compartment: int, slot: int) -> ThreadBlock:
    """The pages of thread `slot` of a compartment."""
    start = compartment_offset(compartment) + THREADS_OFFSET + slot * THREAD_STRIDE
    return ThreadBlock(
        tcs=start + THREAD_TCS,
        ssa=start + THREAD_SSA,
        tcb=start + THREAD_TCB,
        exception_stack=start + THREAD_EXCEPTION_STACK,
        stack=start + THREAD_STACK,
    )
