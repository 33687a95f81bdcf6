"""SGX hardware through the kernel module: the pages are those of the kernel's SGX driver.

No machine with SGX has run this yet; it is tested over the module's emulation of that driver and of ENCLU, and the
module's side over a stand-in for the driver, too.
"""

import os

from enclave_host import teemate_uapi
from enclave_host.blueprint import Blueprint
from enclave_host.lease_grant import LeaseFlag
from enclave_host.providers.kernel_module import EmulatedEpc, ModuleConstruction


class HardwareEpc(EmulatedEpc):
    """Provider: teemate.ko over /dev/sgx_enclave."""

    name = "hardware"
    lease_flags = LeaseFlag(0)
    gives_confidentiality = True

    def create(self, blueprint: Blueprint, *, compartments: int) -> ModuleConstruction:
        backing_fd = os.open(teemate_uapi.SGX_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            # The module keeps the driver's file: our descriptor has done its work
            return ModuleConstruction(self._image, blueprint, gate=None, backing_fd=backing_fd)
        finally:
            os.close(backing_fd)
