"""The debug kernel, built once for all tests."""

from __future__ import annotations

import shutil

import pytest

from tests.vm.kernels import Kernel
from tests.vm_debug import kernel


@pytest.fixture(scope="session")
def debug_kernel() -> Kernel:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not installed (package qemu-system-x86)")
    return kernel.build()
