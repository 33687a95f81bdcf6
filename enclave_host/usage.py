"""What one lease takes now: of enclave memory, and of the thread slots it was granted."""

from pathlib import Path

from enclave_host.attach_protocol import AttachUsage
from enclave_host.lease import Lease


def threads_in_use(lease: Lease, *, proc: Path = Path("/proc")) -> int:
    """How many of the lease's TCSs are taken. A mate has one thread in the kernel for each thread in the enclave."""
    if lease.process is None or lease.process.has_ended:
        return 0
    try:
        running = sum(1 for _ in (proc / str(lease.pid) / "task").iterdir())
    except OSError:
        return 0  # it has ended meanwhile
    return min(running, lease.threads)


def usage_of(lease: Lease) -> AttachUsage:
    return AttachUsage(
        lease_id=lease.id,
        enclave_id=lease.enclave.id,
        memory=lease.compartment.memory(),
        memory_limit=lease.memory,
        compartment_index=lease.compartment.index,
        thread_count=lease.threads,
        threads_in_use=threads_in_use(lease),
        process_id=lease.pid,
    )
