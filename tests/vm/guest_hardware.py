"""Runs in the guest: the mate as it is built for SGX hardware, over leases that chain to the emulated /dev/sgx_enclave.

Prints "ok - ..." and "not ok - ..." lines. argv: the mate, the LibOS image, the SIGSTRUCT.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from enclave_host.blueprint import Blueprint, draw_blueprint
from enclave_host.cpuid import host_cpuid_table
from enclave_host.enclave import Compartment, Enclave
from enclave_host.image import load_image
from enclave_host.lending import Lender
from enclave_host.providers.hardware import HardwareEpc
from tests.vm.enclu_hardware import COMMANDS, PLAN, POOL

FIRST_DESCRIPTOR = 3
OUT_OF_THE_WAY = 100
SECONDS = 900

failures = 0


def check(good: bool, what: str) -> None:
    global failures
    print("ok -" if good else "not ok -", what, flush=True)
    failures += not good


def build(provider: HardwareEpc, blueprint: Blueprint, signed: Path) -> Enclave:
    construction = provider.create(blueprint, compartments=PLAN.compartments)
    for pages in blueprint.ranges:
        construction.add(pages)
    built, identity = construction.initialize(signed.read_bytes())
    return Enclave(
        id=1,
        pool=POOL.name,
        plan=PLAN,
        pages=built,
        mrenclave=identity.mrenclave.hex(),
        mrsigner=identity.mrsigner.hex(),
        size=blueprint.enclave_size,
        build_us=0,
    )


def run(mate: Path, descriptors: Sequence[int], command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Descriptors 3.. in this order, as the OCI runtime passes them on."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) for fd in descriptors]
    places = ";".join(f"exec {number}<&{fd}" for number, fd in enumerate(high, start=FIRST_DESCRIPTOR))
    try:
        return subprocess.run(
            ["/bin/sh", "-c", f'{places}; exec "$@"', "sh", mate, f"--lease-fd={FIRST_DESCRIPTOR}", "--", *command],
            pass_fds=high,
            capture_output=True,
            timeout=SECONDS,
        )
    finally:
        for fd in high:
            os.close(fd)


def main() -> int:
    mate, image, signed = map(Path, sys.argv[1:])
    loaded = load_image(image)
    provider = HardwareEpc(loaded)
    blueprint = draw_blueprint(loaded, PLAN)
    lender = Lender(provider, cpuid_table=host_cpuid_table(mate))
    for name, command in COMMANDS.items():
        plain = subprocess.run(command, capture_output=True, timeout=SECONDS)
        # A compartment that was used cannot be recovered on hardware: each program gets an enclave of its own
        enclave = build(provider, blueprint, signed)
        lent = lender.lend(
            Compartment(enclave=enclave, index=0), POOL, lease_id=1, threads=POOL.threads, memory=POOL.memory
        )
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, channel:
            done = run(mate, [*lent, channel.fileno()], command)
        for fd in lent:
            os.close(fd)
        enclave.pages.close()
        good = (done.returncode, done.stdout) == (plain.returncode, plain.stdout) and plain.returncode == 0
        check(good, f"{name}: {done.returncode}, {done.stdout[-200:]!r}" + (f" {done!r} {plain!r}" if not good else ""))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
