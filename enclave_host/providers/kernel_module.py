"""The kernel module's emulated EPC: leases are enforced by the kernel, not by who holds a memfd.

ENCLU is still the mate's model, so this gives no confidentiality either. What it gives is what the module gives on
hardware: a process maps the pages of its lease and no others, nobody else can read them, and their memory is
charged to the container that touches them.

One lease for the image is shared by all compartments; each grant has a lease of its own on its compartment. The
kernel ends it, and erases the compartment, when the last process that holds or maps it has gone.
"""

import ctypes
import errno
import mmap
import os
import struct
from collections import defaultdict
from collections.abc import Sequence

from enclave_host import layout, sigstruct, teemate_uapi
from enclave_host.attach_protocol import close_all
from enclave_host.blueprint import Blueprint, PageRange
from enclave_host.errors import HostError
from enclave_host.image import ENCLU_SITE_SIZE, EnclaveImage
from enclave_host.lease_grant import LeaseFlag, LeaseMapping
from enclave_host.providers.base import FileIdentity, Lent, file_identity
from enclave_host.sgx import ATTRIBUTE_MODE64, MISCSELECT_EXINFO, PAGE_SIZE, Secinfo, host_xfrm
from enclave_host.teemate_uapi import Range, RangeFlag, SetupFlag

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

_SECS = struct.Struct("<QQII24xQQ")
_COPY_SIZE = 1 << 20
IMAGE_COOKIE = 0xFFFF_FFFF  # of the lease on the image; those on compartments have their index
_NO_FILE = FileIdentity(device=0, inode=0)


class EmulatedEpc:
    """Provider: teemate.ko with EPC pages that are ordinary memory."""

    name = "kernel-module"
    lease_flags = LeaseFlag.SOFTWARE_MODEL
    gives_confidentiality = False

    def __init__(self, image: EnclaveImage) -> None:
        self._image = image

    def create(self, blueprint: Blueprint, *, compartments: int) -> "ModuleConstruction":
        return ModuleConstruction(self._image, blueprint, gate=layout.MODEL_ENCLU_GATE)

    def adopt(
        self, *, image_fd: int, image_segments: Sequence[LeaseMapping], compartment_fds: dict[int, int]
    ) -> "ModuleEnclave":
        return ModuleEnclave.adopt(image_fd, tuple(image_segments), compartment_fds)


class ModuleConstruction:
    """Drives the construction ioctls, which are those of the kernel's SGX driver.

    `gate`: where the ENCLU instructions are made to call after the measurement; None leaves them alone.
    `backing_fd`: of /dev/sgx_enclave, for hardware.
    """

    def __init__(
        self, image: EnclaveImage, blueprint: Blueprint, *, gate: int | None, backing_fd: int | None = None
    ) -> None:
        self._image = image
        self._gate = gate
        self._tcs: dict[int, list[int]] = defaultdict(list)
        self._buffer = mmap.mmap(-1, _COPY_SIZE)
        self._buffer_is_zero = True
        self._fd = os.open(teemate_uapi.DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = SetupFlag.LEASES_SURVIVE
            if backing_fd is not None:
                flags |= SetupFlag.BACKING
            teemate_uapi.setup(self._fd, flags=flags, backing_fd=backing_fd or 0)
            self._fill(
                _SECS.pack(
                    blueprint.enclave_size,
                    layout.ENCLAVE_BASE,
                    blueprint.ssa_frame_pages,
                    MISCSELECT_EXINFO,
                    ATTRIBUTE_MODE64,
                    host_xfrm(),
                ).ljust(PAGE_SIZE, b"\0")
            )
            teemate_uapi.create(self._fd, self._address)
        except OSError:
            self.abandon()
            raise

    def add(self, pages: PageRange) -> None:
        if pages.secinfo & Secinfo.TCS:
            self._tcs[pages.offset // layout.COMPARTMENT_STRIDE - 1] += range(
                pages.offset, pages.offset + pages.size, PAGE_SIZE
            )
        done = 0
        while done < pages.size:
            size = min(pages.size - done, _COPY_SIZE)
            self._fill(pages.content[done : done + size] if pages.content is not None else None)
            done += self._add(pages, done, size)

    def initialize(self, signed: bytes) -> tuple["ModuleEnclave", sigstruct.Identity]:
        try:
            teemate_uapi.init(self._fd, signed)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            raise sigstruct.SigstructError(
                "EINIT refuses the SIGSTRUCT: measurement, attributes or signature"
            ) from None
        if self._gate is not None:
            self._patch(self._gate)
        facts = teemate_uapi.info(self._fd)
        enclave = ModuleEnclave.build(self._fd, self._image, dict(self._tcs))
        return enclave, sigstruct.Identity(mrenclave=facts.mrenclave, mrsigner=facts.mrsigner)

    def abandon(self) -> None:
        os.close(self._fd)

    @property
    def _address(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))

    def _fill(self, content: bytes | None) -> None:
        """What the next pages are made of; None: zeros."""
        if content is not None:
            self._buffer[: len(content)] = content
            self._buffer_is_zero = False
        elif not self._buffer_is_zero:
            self._buffer[:] = bytes(_COPY_SIZE)
            self._buffer_is_zero = True

    def _add(self, pages: PageRange, start: int, size: int) -> int:
        try:
            return teemate_uapi.add_pages(
                self._fd,
                source=self._address,
                offset=pages.offset + start,
                length=size,
                secinfo=pages.secinfo,
                measured=pages.measured,
            )
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            facts = teemate_uapi.info(self._fd)
            raise HostError(
                f"the kernel module has no EPC page left: {facts.epc_pages} of {facts.epc_limit} are in use; "
                "raise its parameter epc_pages (/sys/module/teemate/parameters/epc_pages) or build fewer enclaves",
                code=errno.ENOMEM,
            ) from error

    def _patch(self, gate: int) -> None:
        """The model's calls in place of ENCLU, whose bytes have been measured."""
        for site in self._image.enclu_sites:
            distance = gate - (layout.ENCLAVE_BASE + site + ENCLU_SITE_SIZE)
            teemate_uapi.debug_write(self._fd, offset=site, content=b"\xe8" + struct.pack("<i", distance))


class ModuleEnclave:
    """An initialised enclave in the module, and the leases that live."""

    can_be_prepared = False  # only a lease can add pages to its compartment, and an idle one has none

    def __init__(
        self, fd: int, image_lease: int, segments: tuple[LeaseMapping, ...], tcs: dict[int, list[int]]
    ) -> None:
        self._fd = fd
        self._image_lease = image_lease
        self._segments = segments
        self._tcs = tcs
        self._leases: dict[int, int] = {}  # compartment: the lease that lived last
        self._identities: dict[int, FileIdentity] = {}

    @classmethod
    def build(cls, fd: int, image: EnclaveImage, tcs: dict[int, list[int]]) -> "ModuleEnclave":
        segments = tuple(
            LeaseMapping(
                address=layout.ENCLAVE_BASE + segment.offset,
                size=len(segment.content),
                offset=segment.offset,
                prot=PROT_READ | (PROT_EXEC if segment.permissions & Secinfo.X else 0),
                descriptor=0,
            )
            for segment in image.segments
        )
        ranges = [Range(offset=segment.offset, length=segment.size, prot=segment.prot) for segment in segments]
        return cls(fd, teemate_uapi.lease(fd, ranges=ranges, cookie=IMAGE_COOKIE).fd, segments, tcs)

    @classmethod
    def adopt(
        cls, image_fd: int, segments: tuple[LeaseMapping, ...], compartment_fds: dict[int, int]
    ) -> "ModuleEnclave":
        """From the leases that living processes hold. Such an enclave lends no compartment anew."""
        enclave = cls(teemate_uapi.enclave_of(image_fd), image_fd, segments, {})
        for index, fd in compartment_fds.items():
            enclave._leases[index] = teemate_uapi.lease_info(fd).id
            enclave._identities[index] = file_identity(fd)
            os.close(fd)  # ours would keep the lease alive
        return enclave

    @property
    def image_identity(self) -> FileIdentity:
        return file_identity(self._image_lease)

    @property
    def image_segments(self) -> tuple[LeaseMapping, ...]:
        return self._segments

    def compartment_identity(self, index: int) -> FileIdentity:
        return self._identities.get(index, _NO_FILE)

    def lend(self, index: int) -> Lent:
        start = layout.compartment_offset(index)
        # SECINFO lets only what comes after the LibOS's state be executed
        code, end = start + layout.TRAMPOLINES_OFFSET, start + layout.COMPARTMENT_STRIDE
        mappings = [
            LeaseMapping(address=layout.ENCLAVE_BASE + first, size=last - first, offset=first, prot=prot, descriptor=1)
            for first, last, prot in (
                (start, code, PROT_READ | PROT_WRITE),
                (code, end, PROT_READ | PROT_WRITE | PROT_EXEC),
            )
        ]
        image_fd = os.dup(self._image_lease)
        try:
            lease_fd = self._lease(index)
            self._identities[index] = file_identity(lease_fd)
        except OSError:
            close_all((image_fd,))
            raise
        return Lent(mappings=(*self._segments, *mappings), descriptors=(image_fd, lease_fd))

    def is_held(self, index: int) -> bool:
        return self._living(index) is not None

    def image_memory(self) -> int:
        """What no lease added: the image, and what the compartments were built with."""
        living = [info.pages for index in self._leases if (info := self._living(index)) is not None]
        return (teemate_uapi.info(self._fd).pages - sum(living)) * PAGE_SIZE

    def compartment_memory(self, index: int) -> int:
        info = self._living(index)
        return info.pages * PAGE_SIZE if info is not None else 0

    def close(self) -> None:
        os.close(self._image_lease)
        os.close(self._fd)

    def _lease(self, index: int) -> int:
        if self.is_held(index):
            return teemate_uapi.lease_fd(self._fd, self._leases[index])
        ranges = [_compartment_range(index)]
        lease = teemate_uapi.lease(self._fd, ranges=ranges, tcs=self._tcs[index], cookie=index)
        self._leases[index] = lease.id
        return lease.fd

    def _living(self, index: int) -> teemate_uapi.LeaseInfo | None:
        if index not in self._leases:
            return None
        try:
            return teemate_uapi.lease_info(self._fd, self._leases[index])
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return None


def _compartment_range(index: int) -> Range:
    """The whole compartment. SECINFO and the LibOS decide which of its pages may be executed."""
    return Range(
        offset=layout.compartment_offset(index),
        length=layout.COMPARTMENT_STRIDE,
        prot=PROT_READ | PROT_WRITE | PROT_EXEC,
        flags=RangeFlag.PRIVATE | RangeFlag.GROW,
    )
