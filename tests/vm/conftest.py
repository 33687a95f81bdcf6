"""The kernels that the tests boot."""

from __future__ import annotations

import shutil

import pytest

from tests.harness.facilities import in_ci
from tests.vm import kernels
from tests.vm.kernels import Kernel


@pytest.fixture(scope="session", params=sorted(kernels.META_PACKAGES))
def kernel(request: pytest.FixtureRequest) -> Kernel:
    if not shutil.which("qemu-system-x86_64"):
        missing = "qemu-system-x86_64 is not installed: run `make setup`"
        if in_ci():
            pytest.fail(missing)
        pytest.skip(missing)
    return kernels.fetch(request.param)
