"""What the daemon asks of a source of EPC pages. A provider is one module that implements these protocols."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from enclave_host.attach_protocol import LeaseFlag, LeaseMapping
from enclave_host.blueprint import Blueprint, PageRange
from enclave_host.preparation import MemoryRange
from enclave_host.sigstruct import Identity


@dataclass(frozen=True)
class FileIdentity:
    """Device and inode: by them a restarted daemon knows the descriptors in living processes again."""

    device: int
    inode: int


def file_identity(fd: int) -> FileIdentity:
    status = os.fstat(fd)
    return FileIdentity(device=status.st_dev, inode=status.st_ino)


@dataclass(frozen=True)
class Lent:
    """What one lease may map. The receiver owns the descriptors; mappings name them by their index."""

    mappings: tuple[LeaseMapping, ...]
    descriptors: tuple[int, ...]


class ProviderEnclave(Protocol):
    """An initialised enclave's pages."""

    @property
    def image_identity(self) -> FileIdentity: ...

    @property
    def image_segments(self) -> tuple[LeaseMapping, ...]:
        """The image region's mappings (descriptor 0), which a journal must keep to adopt the enclave."""

    def compartment_identity(self, index: int) -> FileIdentity: ...

    def lend(self, index: int) -> Lent:
        """Descriptors through which one process may map the image and this compartment, and nothing else."""

    def is_held(self, index: int) -> bool:
        """Does anybody outside the daemon still hold or map the compartment?"""

    def preparation(self, index: int, ranges: tuple[MemoryRange, ...]) -> Callable[[], None] | None:
        """A function for a worker thread that backs these ranges of the compartment; None: there is no way to."""

    def image_memory(self) -> int:
        """Bytes of EPC that the image takes."""

    def compartment_memory(self, index: int) -> int:
        """Bytes of EPC that the compartment takes now."""

    def close(self) -> None:
        """Give the pages back as soon as nobody maps them."""


class EnclaveConstruction(Protocol):
    """An enclave between ECREATE and EINIT. Exactly one of initialize and abandon ends it."""

    def add(self, pages: PageRange) -> None:
        """EADD, and EEXTEND if the pages are measured."""

    def initialize(self, signed: bytes) -> tuple[ProviderEnclave, Identity]:
        """EINIT with this SIGSTRUCT. Raises SigstructError when the measurement is not the signed one."""

    def abandon(self) -> None: ...


class Provider(Protocol):
    """A source of EPC pages."""

    name: str
    lease_flags: LeaseFlag
    gives_confidentiality: bool

    def create(self, blueprint: Blueprint, *, compartments: int) -> EnclaveConstruction:
        """ECREATE."""

    def adopt(
        self, *, image_fd: int, image_segments: Sequence[LeaseMapping], compartment_fds: dict[int, int]
    ) -> ProviderEnclave:
        """An enclave of an earlier daemon, from descriptors found in living processes (now the provider's)."""
