"""One timed run of a program: on the host as it is, or inside a compartment under the mate."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachRequest
from tests.harness.hostd import HostDaemon
from tests.harness.paths import BUILD, MATE
from tests.harness.process import HarnessError, clean_environment, wait_until

SOURCE = Path(__file__).with_name("spawn_timer.c")
TIMER = BUILD / "spawn_timer"
LEASE_FD = 3
_ABOVE = 100


@dataclass(frozen=True)
class Timing:
    first_output_ms: float
    total_ms: float
    output: str


def build_timer() -> None:
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(TIMER), str(SOURCE)], check=True)


def native(command: Sequence[str]) -> Timing:
    return _timed(list(command), [])


def inside(hostd: HostDaemon, command: Sequence[str], *, pool: str = "default") -> Timing:
    """With a lease taken beforehand: what is timed is the mate, the LibOS and the program."""
    with AttachClient(hostd.run_directory) as client:
        grant = client.request(AttachRequest(pool=pool, container="bench/spawn"))
        try:
            timing = _timed([str(MATE), f"--lease-fd={LEASE_FD}", "--", *command], list(grant.descriptors))
        finally:
            grant.close()
    if not wait_until(lambda: not hostd.leases(), seconds=30, every=0.01):
        raise HarnessError("the daemon does not take the lease back")
    return timing


def _timed(command: list[str], descriptors: list[int]) -> Timing:
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for descriptor in descriptors]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)]
        actions += [(os.POSIX_SPAWN_DUP2, number, LEASE_FD + index) for index, number in enumerate(high)]
        pid = os.posix_spawn(TIMER, [str(TIMER), *command], clean_environment(), file_actions=actions)
        _, status = os.waitpid(pid, 0)
        for number in high:
            os.close(number)
        output.seek(0)
        errors.seek(0)
        text = errors.read().decode(errors="replace")
        lines = text.splitlines()
        if status or not lines or lines[-1].split()[2:] != ["0"]:
            raise HarnessError(f"{' '.join(command)} failed: {text}")
        first, total, _ = map(int, lines[-1].split())
        return Timing(first_output_ms=first / 1e6, total_ms=total / 1e6, output=output.read().decode())
