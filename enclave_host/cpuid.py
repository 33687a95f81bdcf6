"""CPUID answers of this host, which every lease grant carries (mate/lease.h, struct lease_cpuid)."""

import subprocess
from pathlib import Path

from enclave_host.errors import HostError
from enclave_host.lease_grant import CPUID_ENTRIES_MAX, CPUID_ENTRY_SIZE

_SECONDS = 10


def host_cpuid_table(mate: Path) -> bytes:
    """What `mate cpuid` prints: whole entries, at most CPUID_ENTRIES_MAX. Raises HostError."""
    try:
        done = subprocess.run([mate, "cpuid"], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"`{mate} cpuid` cannot be run: {error}") from error
    table = done.stdout
    if (
        done.returncode
        or not table
        or len(table) % CPUID_ENTRY_SIZE
        or len(table) > CPUID_ENTRY_SIZE * CPUID_ENTRIES_MAX
    ):
        said = done.stderr.decode(errors="replace").strip() or f"{len(table)} bytes, exit status {done.returncode}"
        raise HostError(f"`{mate} cpuid` gave no CPUID table: {said}; are mate and daemon of the same release?")
    return table
