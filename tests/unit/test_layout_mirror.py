"""enclave_host/layout.py says what enclave/include/layout.h says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enclave_host import layout

HEADER = Path(__file__).resolve().parents[2] / "enclave" / "include" / "layout.h"


def header_constants() -> dict[str, int]:
    """Every `#define NAME number`, or NAME of another one."""
    constants: dict[str, int] = {}
    for name, value in re.findall(r"^#define (\w+) (\w+)\s*(?:/\*.*)?$", HEADER.read_text(), re.MULTILINE):
        constants[name] = constants[value] if value in constants else int(value, 0)
    return constants


@pytest.mark.parametrize(("name", "value"), header_constants().items())
def test_constant_is_mirrored(name: str, value: int) -> None:
    assert getattr(layout, name) == value


def test_the_header_was_read() -> None:
    assert {"ENCLAVE_BASE", "COMPARTMENT_STRIDE", "THREAD_TCB", "APP_END"} <= header_constants().keys()


@pytest.mark.parametrize(("compartments", "strides"), [(1, 2), (2, 4), (3, 4), (4, 8), (7, 8), (8, 16), (1023, 1024)])
def test_elrange_is_the_next_power_of_two(compartments: int, strides: int) -> None:
    assert layout.enclave_size(compartments) == strides * layout.COMPARTMENT_STRIDE


def test_thread_blocks_do_not_meet_the_next_region() -> None:
    end = layout.THREADS_OFFSET + layout.THREADS_MAX * layout.THREAD_STRIDE
    assert end <= layout.VMAS_OFFSET
    assert layout.HEADER_OFFSET + layout.HEADER_SIZE <= layout.THREADS_OFFSET
    assert layout.THREAD_SSA + layout.SSA_FRAMES * layout.SSA_FRAME_SIZE == layout.THREAD_TCB
    assert layout.THREAD_STACK_TOP <= layout.THREAD_STRIDE
