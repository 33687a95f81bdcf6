"""The kernel's interfaces for enclaves: the Python mirror of `kernel_module/uapi/teemate.h` and <asm/sgx.h>.

A unit test compares the numbers with the headers. Each function is one ioctl; all raise OSError.
"""

import ctypes
import fcntl
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

DEVICE = "/dev/teemate"
SGX_DEVICE = "/dev/sgx_enclave"

RANGES_MAX = 64
TCS_MAX = 4096

_MAGIC = 0xB5
_SGX_MAGIC = 0xA4
_WRITE, _READ = 1, 2


def _number(direction: int, magic: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | magic << 8 | number


class SetupFlag(IntFlag):
    """teemate_setup.flags"""

    NONE = 0
    BACKING = 1
    LEASES_SURVIVE = 2


class RangeFlag(IntFlag):
    """teemate_range.flags"""

    SHARED = 0
    PRIVATE = 1
    GROW = 2
    KEEP = 4


class LeaseOption(IntFlag):
    """teemate_lease.flags"""

    NONE = 0
    SINGLE_MM = 1


_SETUP = struct.Struct("<QIi")
_RANGE = struct.Struct("<QQII")
_LEASE = struct.Struct("<QQIIIIQQQiI")
_REVOKE = struct.Struct("<Q")
_LEASE_INFO = struct.Struct("<QQQQQII")
_INFO = struct.Struct("<QQQQQQQII32s32s")
_DEBUG_WRITE = struct.Struct("<QQQ")
_ENCLAVE_FD = struct.Struct("<iI")
_LEASE_FD = struct.Struct("<QiI")
_SGX_CREATE = struct.Struct("<Q")
_SGX_ADD_PAGES = struct.Struct("<QQQQQQ")
_SECINFO = struct.Struct("<Q56x")
_SGX_INIT = struct.Struct("<Q")

IOC_SETUP = _number(_WRITE, _MAGIC, 0x00, _SETUP.size)
IOC_LEASE = _number(_READ | _WRITE, _MAGIC, 0x01, _LEASE.size)
IOC_REVOKE = _number(_WRITE, _MAGIC, 0x02, _REVOKE.size)
IOC_LEASE_INFO = _number(_READ | _WRITE, _MAGIC, 0x03, _LEASE_INFO.size)
IOC_INFO = _number(_READ, _MAGIC, 0x04, _INFO.size)
IOC_DEBUG_WRITE = _number(_WRITE, _MAGIC, 0x05, _DEBUG_WRITE.size)
IOC_ENCLAVE = _number(_READ, _MAGIC, 0x06, _ENCLAVE_FD.size)
IOC_LEASE_FD = _number(_READ | _WRITE, _MAGIC, 0x07, _LEASE_FD.size)
SGX_IOC_ENCLAVE_CREATE = _number(_WRITE, _SGX_MAGIC, 0x00, _SGX_CREATE.size)
SGX_IOC_ENCLAVE_ADD_PAGES = _number(_READ | _WRITE, _SGX_MAGIC, 0x01, _SGX_ADD_PAGES.size)
SGX_IOC_ENCLAVE_INIT = _number(_WRITE, _SGX_MAGIC, 0x02, _SGX_INIT.size)
SGX_PAGE_MEASURE = 1


@dataclass(frozen=True, kw_only=True)
class Range:
    """struct teemate_range: bytes from the enclave's base."""

    offset: int
    length: int
    prot: int
    flags: RangeFlag = RangeFlag.SHARED


@dataclass(frozen=True)
class NewLease:
    """What TEEMATE_IOC_LEASE returns."""

    id: int
    fd: int


@dataclass(frozen=True)
class LeaseInfo:
    """struct teemate_lease_info"""

    id: int
    cookie: int
    pages: int
    page_limit: int
    refused: int
    flags: int


@dataclass(frozen=True)
class EnclaveInfo:
    """struct teemate_info"""

    epc_pages: int
    epc_limit: int
    pages: int
    page_limit: int
    base: int
    size: int
    events_lost: int
    leases: int
    flags: int
    mrenclave: bytes
    mrsigner: bytes


def setup(fd: int, *, flags: SetupFlag, page_limit: int = 0, backing_fd: int = 0) -> None:
    fcntl.ioctl(fd, IOC_SETUP, _SETUP.pack(page_limit, flags, backing_fd))


def create(fd: int, secs: int) -> None:
    """ECREATE from a SECS page at that address."""
    fcntl.ioctl(fd, SGX_IOC_ENCLAVE_CREATE, _SGX_CREATE.pack(secs))


def add_pages(fd: int, *, source: int, offset: int, length: int, secinfo: int, measured: bool) -> int:
    """EADD of pages at the address `source`. Returns how many bytes were added: a signal may cut it short."""
    flags = SGX_PAGE_MEASURE if measured else 0
    packed = ctypes.create_string_buffer(_SECINFO.pack(secinfo), _SECINFO.size)
    record = bytearray(_SGX_ADD_PAGES.pack(source, offset, length, ctypes.addressof(packed), flags, 0))
    fcntl.ioctl(fd, SGX_IOC_ENCLAVE_ADD_PAGES, record)
    count: int = _SGX_ADD_PAGES.unpack(record)[5]
    return count


def init(fd: int, sigstruct: bytes) -> None:
    """EINIT."""
    buffer = ctypes.create_string_buffer(sigstruct, len(sigstruct))
    fcntl.ioctl(fd, SGX_IOC_ENCLAVE_INIT, _SGX_INIT.pack(ctypes.addressof(buffer)))


def lease(
    fd: int,
    *,
    ranges: Sequence[Range],
    tcs: Sequence[int] = (),
    options: LeaseOption = LeaseOption.NONE,
    page_limit: int = 0,
    cookie: int = 0,
) -> NewLease:
    """A lease of ranges and of TCSs (offsets from the enclave's base)."""
    packed = b"".join(_RANGE.pack(r.offset, r.length, r.flags, r.prot) for r in ranges)
    range_buffer = ctypes.create_string_buffer(packed, len(packed) or 1)
    tcs_buffer = (ctypes.c_uint64 * max(len(tcs), 1))(*tcs)
    record = bytearray(
        _LEASE.pack(
            ctypes.addressof(range_buffer),
            ctypes.addressof(tcs_buffer),
            len(ranges),
            len(tcs),
            options,
            0,
            page_limit,
            cookie,
            0,
            0,
            0,
        )
    )
    fcntl.ioctl(fd, IOC_LEASE, record)
    values = _LEASE.unpack(record)
    return NewLease(id=values[8], fd=values[9])


def lease_fd(fd: int, lease_id: int) -> int:
    """One more descriptor of a live lease."""
    record = bytearray(_LEASE_FD.pack(lease_id, 0, 0))
    fcntl.ioctl(fd, IOC_LEASE_FD, record)
    duplicate: int = _LEASE_FD.unpack(record)[1]
    return duplicate


def revoke(fd: int, lease_id: int) -> None:
    fcntl.ioctl(fd, IOC_REVOKE, _REVOKE.pack(lease_id))


def lease_info(fd: int, lease_id: int = 0) -> LeaseInfo:
    """Of a live lease, asked of its enclave (OSError ENOENT: it has ended), or of a lease's own descriptor."""
    record = bytearray(_LEASE_INFO.pack(lease_id, 0, 0, 0, 0, 0, 0))
    fcntl.ioctl(fd, IOC_LEASE_INFO, record)
    return LeaseInfo(*_LEASE_INFO.unpack(record)[:6])


def info(fd: int) -> EnclaveInfo:
    record = bytearray(_INFO.size)
    fcntl.ioctl(fd, IOC_INFO, record)
    return EnclaveInfo(*_INFO.unpack(record))


def debug_write(fd: int, *, offset: int, content: bytes) -> None:
    """Change bytes of an emulated enclave that was never leased."""
    buffer = ctypes.create_string_buffer(content, len(content))
    fcntl.ioctl(fd, IOC_DEBUG_WRITE, _DEBUG_WRITE.pack(offset, len(content), ctypes.addressof(buffer)))


def enclave_of(lease: int) -> int:
    """A descriptor of the enclave that a lease's descriptor belongs to."""
    record = bytearray(_ENCLAVE_FD.size)
    fcntl.ioctl(lease, IOC_ENCLAVE, record)
    fd: int = _ENCLAVE_FD.unpack(record)[0]
    return fd
