"""Enclave-ready time: from asking the daemon for a lease until its descriptors are here."""

from __future__ import annotations

import time

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachRequest
from tests.harness.hostd import HostDaemon
from tests.harness.process import HarnessError, wait_until


def enclave_ready_ms(hostd: HostDaemon, *, pool: str, rounds: int) -> list[float]:
    """Ask, take the lease, give it back, and wait until the daemon has it back before the next round."""
    times = []
    for number in range(rounds):
        with AttachClient(hostd.run_directory) as client:
            request = AttachRequest(pool=pool, container=f"demo/ready-{number}")
            begin = time.perf_counter()
            grant = client.request(request)
            times.append((time.perf_counter() - begin) * 1000)
            grant.close()
        if not wait_until(lambda: not hostd.leases(), seconds=30):
            raise HarnessError("the daemon does not take a lease back")
    return times
