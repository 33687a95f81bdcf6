"""The lease grant: the Python mirror of `mate/lease.h`, first half. A unit test compares the numbers and sizes."""

import struct
from dataclasses import dataclass
from enum import IntFlag

from enclave_host.packed import ProtocolError, expect_size, pack_name, unpack_name

LEASE_MAGIC = 0x474C4D54
LEASE_VERSION = 1
LEASE_MAPPINGS_MAX = 8
CPUID_ENTRY_SIZE = 24
CPUID_ENTRIES_MAX = 128
POOL_NAME_SIZE = 64

_MAPPING = struct.Struct("<QQQII")
_GRANT_HEAD = struct.Struct("<IIQQQQQIIQQII")
_GRANT_SIZE = _GRANT_HEAD.size + LEASE_MAPPINGS_MAX * _MAPPING.size + POOL_NAME_SIZE


class LeaseFlag(IntFlag):
    """lease_grant.flags"""

    SOFTWARE_MODEL = 1
    TRACE_SYSCALLS = 2
    NO_PATCH = 4
    TSC_CLOCK = 8


@dataclass(frozen=True)
class LeaseMapping:
    """struct lease_mapping"""

    address: int
    size: int
    offset: int
    prot: int
    descriptor: int


@dataclass(frozen=True)
class LeaseGrant:
    """struct lease_grant"""

    lease_id: int
    enclave_id: int
    enclave_base: int
    enclave_size: int
    compartment_base: int
    compartment_index: int
    thread_count: int
    memory_limit: int
    xfrm: int
    flags: LeaseFlag
    mappings: tuple[LeaseMapping, ...]
    pool: str

    def pack(self) -> bytes:
        if len(self.mappings) > LEASE_MAPPINGS_MAX:
            raise ProtocolError(f"{len(self.mappings)} mappings in a grant; at most {LEASE_MAPPINGS_MAX}")
        head = _GRANT_HEAD.pack(
            LEASE_MAGIC,
            LEASE_VERSION,
            self.lease_id,
            self.enclave_id,
            self.enclave_base,
            self.enclave_size,
            self.compartment_base,
            self.compartment_index,
            self.thread_count,
            self.memory_limit,
            self.xfrm,
            self.flags,
            len(self.mappings),
        )
        mappings = b"".join(
            _MAPPING.pack(m.address, m.size, m.offset, m.prot, m.descriptor) for m in self.mappings
        ).ljust(LEASE_MAPPINGS_MAX * _MAPPING.size, b"\0")
        return head + mappings + pack_name("pool", self.pool, POOL_NAME_SIZE)

    @classmethod
    def unpack(cls, content: bytes) -> "LeaseGrant":
        """Parse a grant, with or without the CPUID table behind it (enclave_host/cpuid.py)."""
        if len(content) > _GRANT_SIZE and (len(content) - _GRANT_SIZE) % CPUID_ENTRY_SIZE == 0:
            content = content[:_GRANT_SIZE]
        expect_size("lease_grant", content, _GRANT_SIZE)
        magic, version, *ids, flags, mapping_count = _GRANT_HEAD.unpack_from(content)
        if magic != LEASE_MAGIC or version != LEASE_VERSION or mapping_count > LEASE_MAPPINGS_MAX:
            raise ProtocolError("not a lease grant of this version")
        lease_id, enclave_id, enclave_base, enclave_size, compartment_base, *rest = ids
        compartment_index, thread_count, memory_limit, xfrm = rest
        return cls(
            lease_id=lease_id,
            enclave_id=enclave_id,
            enclave_base=enclave_base,
            enclave_size=enclave_size,
            compartment_base=compartment_base,
            compartment_index=compartment_index,
            thread_count=thread_count,
            memory_limit=memory_limit,
            xfrm=xfrm,
            flags=LeaseFlag(flags),
            mappings=tuple(
                LeaseMapping(*_MAPPING.unpack_from(content, _GRANT_HEAD.size + at * _MAPPING.size))
                for at in range(mapping_count)
            ),
            pool=unpack_name("pool", content[-POOL_NAME_SIZE:]),
        )
