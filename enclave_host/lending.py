"""Makes the descriptors that a lease consists of: the sealed grant and those its mappings name."""

import fcntl
import os

from enclave_host import layout
from enclave_host.attach_protocol import close_all
from enclave_host.clock import host_has_tsc_clock
from enclave_host.config import PoolConfig
from enclave_host.enclave import Compartment
from enclave_host.lease_grant import LeaseFlag, LeaseGrant
from enclave_host.providers.base import Provider
from enclave_host.sgx import host_xfrm

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Lender:
    """Lends compartments of one provider."""

    def __init__(self, provider: Provider, *, cpuid_table: bytes) -> None:
        self._cpuid_table = cpuid_table
        self._flags = provider.lease_flags
        if host_has_tsc_clock():
            self._flags |= LeaseFlag.TSC_CLOCK
        self._xfrm = host_xfrm()

    def lend(
        self, compartment: Compartment, pool: PoolConfig, *, lease_id: int, threads: int, memory: int
    ) -> tuple[int, ...]:
        """The grant memfd and the mappings' descriptors, now the caller's. Raises OSError."""
        enclave = compartment.enclave
        lent = enclave.pages.lend(compartment.index)
        flags = self._flags
        if pool.debug__trace_syscalls:
            flags |= LeaseFlag.TRACE_SYSCALLS
        if pool.debug__no_patch:
            flags |= LeaseFlag.NO_PATCH
        grant = LeaseGrant(
            lease_id=lease_id,
            enclave_id=enclave.id,
            enclave_base=layout.ENCLAVE_BASE,
            enclave_size=enclave.size,
            compartment_base=layout.ENCLAVE_BASE + layout.compartment_offset(compartment.index),
            compartment_index=compartment.index,
            thread_count=threads,
            memory_limit=memory,
            xfrm=self._xfrm,
            flags=flags,
            mappings=lent.mappings,
            pool=enclave.pool,
        )
        try:
            return (_sealed_memfd(grant.pack() + self._cpuid_table), *lent.descriptors)
        except OSError:
            close_all(lent.descriptors)
            raise


def _sealed_memfd(content: bytes) -> int:
    fd = os.memfd_create("teemate-grant", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
