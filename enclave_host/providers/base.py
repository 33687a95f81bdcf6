"""What the daemon asks of a source of EPC pages. A provider is one module that implements these protocols."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from enclave_host.blueprint import Blueprint, PageRange
from enclave_host.lease_grant import LeaseFlag, LeaseMapping
from enclave_host.sigstruct import Identity


@dataclass(frozen=True)
class FileIdentity:
    """Device and inode: by them a restarted daemon knows the descriptors in living processes again.

    `mount` is where it looks for them: a mount of the kernel's own, for memfds or sockets or leases, of which no file
    system server in a container can make another. 0: not known.
    """

    device: int
    inode: int
    mount: int = field(default=0, compare=False)


@dataclass(frozen=True)
class FilePlace:
    """What the kernel tells of a descriptor's file without asking its file system."""

    mount: int
    inode: int | None  # None: a kernel before 5.14

    @classmethod
    def of(cls, process: int | str, fd: int) -> "FilePlace":
        lines = Path(f"/proc/{process}/fdinfo/{fd}").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines if line.startswith(("mnt_id:", "ino:")))
        inode = values.get("ino")
        return cls(mount=int(values["mnt_id"]), inode=None if inode is None else int(inode))

    def may_be(self, identity: FileIdentity) -> bool:
        return self.mount == identity.mount and self.inode in (None, identity.inode)


_mounts: dict[int, int] = {}  # by device; for what we ask here there is one each


def file_identity(fd: int) -> FileIdentity:
    """Of a memfd, socket, pipe or lease. Not of a file that has a path: its device may be mounted twice."""
    status = os.fstat(fd)
    if status.st_dev not in _mounts:
        _mounts[status.st_dev] = FilePlace.of("self", fd).mount
    return FileIdentity(device=status.st_dev, inode=status.st_ino, mount=_mounts[status.st_dev])


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

    can_be_prepared: bool  # may pages be backed beforehand, and stay for the next lease?

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
