"""The software model of SGX: EPC pages are memfds. It gives no confidentiality.

Each holder of a compartment gets an open file description of its own. While one of them exists, in a descriptor
table or in a mapping, the kernel refuses the daemon a write lease (fcntl(2), F_SETLEASE) on the file: that tells
in one system call whether a compartment may be handed to somebody else.
"""

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Sequence

from enclave_host import layout, sigstruct
from enclave_host.blueprint import Blueprint, PageRange
from enclave_host.image import ENCLU_SITE_SIZE, EnclaveImage
from enclave_host.lease_grant import LeaseFlag, LeaseMapping
from enclave_host.measure import sgxs_add, sgxs_create
from enclave_host.providers.base import FileIdentity, Lent, file_identity
from enclave_host.sgx import Secinfo

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

_MFD_EXEC = 0x10  # linux 6.3; says what is the default unless vm.memfd_noexec is set
_ZERO_PAGES = bytes(64 * 1024)
_BUFFERS_PER_WRITE = 1024  # IOV_MAX
_SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SoftwareModel:
    """Provider: memfds, with ENCLU replaced by calls of the mate's model."""

    name = "software-model"
    lease_flags = LeaseFlag.SOFTWARE_MODEL
    gives_confidentiality = False

    def __init__(self, image: EnclaveImage) -> None:
        self._image = image

    def create(self, blueprint: Blueprint, *, compartments: int) -> "ModelConstruction":
        return ModelConstruction(self._image, blueprint, compartments=compartments)

    def adopt(
        self, *, image_fd: int, image_segments: Sequence[LeaseMapping], compartment_fds: dict[int, int]
    ) -> "ModelEnclave":
        return ModelEnclave(image_fd, tuple(image_segments), compartment_fds)


class ModelConstruction:
    """Copies and hashes pages as EADD and EEXTEND do."""

    def __init__(self, image: EnclaveImage, blueprint: Blueprint, *, compartments: int) -> None:
        self._image = image
        self._digest = hashlib.sha256(sgxs_create(blueprint))
        self._image_fd = _memfd("teemate-image", image.size)
        self._compartment_fds: dict[int, int] = {}
        try:
            for index in range(compartments):
                self._compartment_fds[index] = _memfd(f"teemate-compartment-{index}", layout.COMPARTMENT_STRIDE)
        except OSError:
            self.abandon()
            raise

    def add(self, pages: PageRange) -> None:
        region, offset = divmod(pages.offset, layout.COMPARTMENT_STRIDE)
        fd = self._image_fd if region == 0 else self._compartment_fds[region - 1]
        if pages.content is None:
            _write_zeros(fd, offset, pages.size)
        else:
            _write(fd, offset, pages.content)
        for chunk in sgxs_add(pages):
            self._digest.update(chunk)

    def initialize(self, signed: bytes) -> tuple["ModelEnclave", sigstruct.Identity]:
        identity = sigstruct.check(signed, mrenclave=self._digest.digest())
        for site in self._image.enclu_sites:
            distance = layout.MODEL_ENCLU_GATE - (layout.ENCLAVE_BASE + site + ENCLU_SITE_SIZE)
            _write(self._image_fd, site, b"\xe8" + struct.pack("<i", distance))
        fcntl.fcntl(self._image_fd, fcntl.F_ADD_SEALS, _SIZE_SEALS | fcntl.F_SEAL_WRITE)
        image_fd = _reopen(self._image_fd, os.O_RDONLY)
        os.close(self._image_fd)
        compartment_fds = {}
        for index, fd in self._compartment_fds.items():
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SIZE_SEALS)
            compartment_fds[index] = _reopen(fd, os.O_RDWR)
            os.close(fd)
        segments = tuple(
            LeaseMapping(
                address=layout.ENCLAVE_BASE + segment.offset,
                size=len(segment.content),
                offset=segment.offset,
                prot=PROT_READ | (PROT_EXEC if segment.permissions & Secinfo.X else 0),
                descriptor=0,
            )
            for segment in self._image.segments
        )
        return ModelEnclave(image_fd, segments, compartment_fds), identity

    def abandon(self) -> None:
        os.close(self._image_fd)
        for fd in self._compartment_fds.values():
            os.close(fd)


class ModelEnclave:
    """The memfds of one enclave. The daemon's own descriptors are never lent, see the head of the file."""

    can_be_prepared = True

    def __init__(self, image_fd: int, segments: tuple[LeaseMapping, ...], compartment_fds: dict[int, int]) -> None:
        self._image_fd = image_fd
        self._segments = segments
        self._compartment_fds = compartment_fds

    @property
    def image_identity(self) -> FileIdentity:
        return file_identity(self._image_fd)

    @property
    def image_segments(self) -> tuple[LeaseMapping, ...]:
        return self._segments

    def compartment_identity(self, index: int) -> FileIdentity:
        return file_identity(self._compartment_fds[index])

    def lend(self, index: int) -> Lent:
        compartment = LeaseMapping(
            address=layout.ENCLAVE_BASE + layout.compartment_offset(index),
            size=layout.COMPARTMENT_STRIDE,
            offset=0,
            prot=PROT_READ | PROT_WRITE | PROT_EXEC,
            descriptor=1,
        )
        image_fd = _reopen(self._image_fd, os.O_RDONLY)
        try:
            compartment_fd = _reopen(self._compartment_fds[index], os.O_RDWR)
        except OSError:
            os.close(image_fd)
            raise
        return Lent(mappings=(*self._segments, compartment), descriptors=(image_fd, compartment_fd))

    def is_held(self, index: int) -> bool:
        fd = self._compartment_fds[index]
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return True
            raise
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    def image_memory(self) -> int:
        return _memory(self._image_fd)

    def compartment_memory(self, index: int) -> int:
        return _memory(self._compartment_fds[index])

    def close(self) -> None:
        os.close(self._image_fd)
        for fd in self._compartment_fds.values():
            os.close(fd)
        self._compartment_fds = {}


def _memfd(name: str, size: int) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create(name, flags)  # a kernel before 6.3
    os.ftruncate(fd, size)
    return fd


def _reopen(fd: int, flags: int) -> int:
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def _write(fd: int, offset: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _write_zeros(fd: int, offset: int, size: int) -> None:
    """EADD copies zero pages like any others: the honest cost of adding memory beforehand."""
    end = offset + size
    while offset < end:
        whole, rest = divmod(end - offset, len(_ZERO_PAGES))
        if whole:
            offset += os.pwritev(fd, [_ZERO_PAGES] * min(whole, _BUFFERS_PER_WRITE), offset)
        else:
            offset += os.pwrite(fd, _ZERO_PAGES[:rest], offset)


def _memory(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512
