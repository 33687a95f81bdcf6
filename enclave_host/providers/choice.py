"""Chooses the source of EPC pages: the configured one, or the best that this host has."""

import os
from pathlib import Path

from enclave_host import teemate_uapi
from enclave_host.config import ProviderChoice
from enclave_host.errors import HostError
from enclave_host.image import EnclaveImage
from enclave_host.providers.base import Provider
from enclave_host.providers.hardware import HardwareEpc
from enclave_host.providers.kernel_module import EmulatedEpc
from enclave_host.providers.software_model import SoftwareModel


def choose_provider(choice: ProviderChoice, image: EnclaveImage) -> Provider:
    """The provider. Raises HostError when the host lacks what the configured one needs."""
    has_module = _is_device(teemate_uapi.DEVICE)
    has_sgx = _is_device(teemate_uapi.SGX_DEVICE)
    if choice is ProviderChoice.AUTO:
        if not has_module:
            return SoftwareModel(image)
        return HardwareEpc(image) if has_sgx else EmulatedEpc(image)
    if choice is ProviderChoice.SOFTWARE_MODEL:
        return SoftwareModel(image)
    if not has_module:
        raise HostError(f"provider: {choice} needs {teemate_uapi.DEVICE}; load the kernel module: modprobe teemate")
    if choice is ProviderChoice.KERNEL_MODULE:
        return EmulatedEpc(image)
    if not has_sgx:
        raise HostError(f"provider: {choice} needs {teemate_uapi.SGX_DEVICE}; enable SGX in the firmware's settings")
    return HardwareEpc(image)


def _is_device(path: str) -> bool:
    return Path(path).is_char_device() and os.access(path, os.R_OK | os.W_OK)
