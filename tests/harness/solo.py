#!/usr/bin/env python3.11
"""Run one program inside an enclave without the daemon: memfds, a grant and the mate, nothing else.

    python -m tests.harness.solo [--threads N] [--memory BYTES] [--trace] [--no-patch] -- PROGRAM [ARG...]

For work on the LibOS and the mate. It plays the daemon's part with the same modules the daemon uses.
"""

import argparse
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from enclave_host import layout
from enclave_host.clock import host_has_tsc_clock
from enclave_host.cpuid import host_cpuid_table
from enclave_host.image import ENCLU_SITE_SIZE, EnclaveImage, load_image
from enclave_host.sgx import Secinfo, Tcs, host_xfrm

ROOT = Path(__file__).resolve().parents[2]
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
FLAG_SOFTWARE_MODEL, FLAG_TRACE, FLAG_NO_PATCH, FLAG_TSC_CLOCK = 1, 2, 4, 8


def image_memfd(image: EnclaveImage) -> int:
    fd = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, image.size)
    for segment in image.segments:
        os.pwrite(fd, segment.content, segment.offset)
    for site in image.enclu_sites:
        call = layout.MODEL_ENCLU_GATE - (layout.ENCLAVE_BASE + site + ENCLU_SITE_SIZE)
        os.pwrite(fd, b"\xe8" + struct.pack("<i", call), site)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def compartment_memfd(image: EnclaveImage, *, index: int, threads: int) -> int:
    fd = os.memfd_create("compartment", os.MFD_CLOEXEC)
    os.ftruncate(fd, layout.COMPARTMENT_STRIDE)
    for slot in range(threads):
        block = layout.thread_block(index, slot)
        tcs = Tcs(ossa=block.ssa, nssa=layout.SSA_FRAMES, oentry=image.entry, ogsbase=block.tcb)
        os.pwrite(fd, tcs.pack(), block.tcs - layout.compartment_offset(index))
    return fd


def grant(image: EnclaveImage, *, index: int, threads: int, memory: int, flags: int) -> bytes:
    base = layout.ENCLAVE_BASE
    mappings = [
        (
            base + segment.offset,
            len(segment.content),
            segment.offset,
            PROT_READ | (PROT_EXEC if segment.permissions & Secinfo.X else 0),
            0,
        )
        for segment in image.segments
    ]
    compartment = base + layout.compartment_offset(index)
    mappings.append((compartment, layout.COMPARTMENT_STRIDE, 0, PROT_READ | PROT_WRITE | PROT_EXEC, 1))
    head = struct.pack(
        "<IIQQQQQIIQQII",
        0x474C4D54,
        1,
        1,
        1,
        base,
        layout.enclave_size(index + 1),
        compartment,
        index,
        threads,
        memory,
        host_xfrm(),
        flags,
        len(mappings),
    )
    body = b"".join(struct.pack("<QQQII", *mapping) for mapping in mappings).ljust(8 * 32, b"\0")
    return head + body + b"solo".ljust(64, b"\0")


def sealed_memfd(content: bytes) -> int:
    fd = os.memfd_create("grant", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=ROOT / "build" / "libos.elf")
    parser.add_argument("--mate", type=Path, default=ROOT / "build" / "mate")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--memory", type=int, default=1 << 30)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--no-patch", action="store_true")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    image = load_image(options.image)
    flags = FLAG_SOFTWARE_MODEL | options.trace * FLAG_TRACE | options.no_patch * FLAG_NO_PATCH
    flags |= host_has_tsc_clock() * FLAG_TSC_CLOCK
    ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    descriptors = [
        sealed_memfd(
            grant(image, index=options.index, threads=options.threads, memory=options.memory, flags=flags)
            + host_cpuid_table(options.mate)
        ),
        image_memfd(image),
        compartment_memfd(image, index=options.index, threads=options.threads),
        channel.fileno(),
    ]
    # Descriptors 3.. in this order, as the OCI runtime passes them on.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in descriptors]
    command = [str(options.mate), "--lease-fd=3", "--", *options.program]

    def place_descriptors() -> None:
        for number, fd in enumerate(high, start=3):
            os.dup2(fd, number)

    process = subprocess.Popen(command, preexec_fn=place_descriptors, close_fds=False)
    code = process.wait()
    ours.close()
    if code < 0:
        print(f"solo: ended by signal {-code}", file=sys.stderr)
        return 128 - code
    return code


if __name__ == "__main__":
    sys.exit(main())
