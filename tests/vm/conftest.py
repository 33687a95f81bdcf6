"""The kernels that the tests boot."""

from __future__ import annotations

import shutil

import pytest

from tests.vm import kernels
from tests.vm.kernels import Kernel


@pytest.fixture(scope="session", params=sorted(kernels.META_PACKAGES))
def kernel(request: pytest.FixtureRequest) -> Kernel:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not installed (package qemu-system-x86)")
    return kernels.fetch(request.param)
