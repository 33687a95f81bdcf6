"""Runs in the guest: the mate as it is built for SGX hardware, over leases that chain to the emulated /dev/sgx_enclave.

Prints "ok - ..." and "not ok - ..." lines. argv: the mate, the LibOS image, the SIGSTRUCT, the program.
"""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
from pathlib import Path

from enclave_host.blueprint import draw_blueprint
from enclave_host.cpuid import host_cpuid_table
from enclave_host.enclave import Compartment, Enclave
from enclave_host.image import load_image
from enclave_host.lending import Lender
from enclave_host.providers.hardware import HardwareEpc
from tests.vm.enclu_hardware import GREETING, PLAN, POOL

FIRST_DESCRIPTOR = 3
OUT_OF_THE_WAY = 100
SECONDS = 120


def build(provider: HardwareEpc, image: Path, signed: Path) -> Enclave:
    blueprint = draw_blueprint(load_image(image), PLAN)
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


def run(mate: Path, descriptors: list[int], program: str) -> subprocess.CompletedProcess[bytes]:
    """Descriptors 3.. in this order, as the OCI runtime passes them on."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) for fd in descriptors]
    places = ";".join(f"exec {number}<&{fd}" for number, fd in enumerate(high, start=FIRST_DESCRIPTOR))
    return subprocess.run(
        ["/bin/sh", "-c", f'{places}; exec "$@"', "sh", mate, f"--lease-fd={FIRST_DESCRIPTOR}", "--", program],
        pass_fds=high,
        capture_output=True,
        timeout=SECONDS,
    )


def main() -> int:
    mate, image, signed, program = map(Path, sys.argv[1:])
    provider = HardwareEpc(load_image(image))
    enclave = build(provider, image, signed)
    print("ok - built", flush=True)
    lender = Lender(provider, cpuid_table=host_cpuid_table(mate))
    lent = lender.lend(
        Compartment(enclave=enclave, index=0), POOL, lease_id=1, threads=POOL.threads, memory=POOL.memory
    )
    ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    done = run(mate, [*lent, channel.fileno()], str(program))
    ours.close()
    good = done.returncode == 0 and done.stdout == GREETING
    print("ok -" if good else "not ok -", f"a program runs in it: {done.returncode} {done.stdout!r} {done.stderr!r}")
    return not good


if __name__ == "__main__":
    sys.exit(main())
