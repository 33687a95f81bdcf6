"""The attach protocol: the Python mirror has lease.h's numbers and bytes, and refuses everything else."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from enclave_host import attach_protocol as protocol
from enclave_host import lease_grant
from enclave_host.attach_protocol import (
    AttachBind,
    AttachGranted,
    AttachRequest,
    AttachType,
    AttachUsage,
    Message,
    RequestFlag,
)
from enclave_host.lease_grant import LeaseFlag, LeaseGrant, LeaseMapping
from enclave_host.packed import ProtocolError

ROOT = Path(__file__).resolve().parents[2]

REQUEST = AttachRequest(
    pool="default",
    container="moby/0123",
    process="exec-1",
    threads=4,
    memory=1 << 30,
    wait_ms=250,
    flags=RequestFlag.WAIT,
)
GRANT = LeaseGrant(
    lease_id=1,
    enclave_id=2,
    enclave_base=3 << 12,
    enclave_size=4 << 12,
    compartment_base=5 << 12,
    compartment_index=6,
    thread_count=7,
    memory_limit=8,
    xfrm=9,
    flags=LeaseFlag.SOFTWARE_MODEL | LeaseFlag.NO_PATCH,
    mappings=(LeaseMapping(10, 11, 12, 13, 14), LeaseMapping(15, 16, 17, 18, 19)),
    pool="pool-name",
)

# Prints numbers of lease.h, then the fields of the structs whose bytes it is given on standard input.
PROBE = r"""
#include <stdio.h>
#include "mate/lease.h"
#define NUMBER(name) printf(#name " %lld\n", (long long)(name))
int main(void)
{
    struct lease_grant g;
    struct attach_request r;
    struct attach_bind b;
    struct attach_granted d;
    struct attach_head h;
    struct attach_usage u;
    NUMBER(LEASE_MAGIC); NUMBER(LEASE_VERSION); NUMBER(LEASE_MAPPINGS_MAX); NUMBER(ATTACH_MAGIC);
    NUMBER(ATTACH_VERSION); NUMBER(ATTACH_MESSAGE_MAX);
    printf("types %d %d %d %d %d %d %d %d %d %d\n", ATTACH_REQUEST, ATTACH_BIND, ATTACH_RELEASE, ATTACH_CHILD,
           ATTACH_PING, ATTACH_USAGE, ATTACH_SCRUB, ATTACH_SCRUBBED, ATTACH_PREPARE, ATTACH_PREPARED);
    printf("flags %d %d %d %d %d\n", LEASE_SOFTWARE_MODEL, LEASE_TRACE_SYSCALLS, LEASE_NO_PATCH, LEASE_TSC_CLOCK,
           ATTACH_WAIT);
    if (fread(&g, sizeof g, 1, stdin) != 1 || fread(&r, sizeof r, 1, stdin) != 1 ||
        fread(&b, sizeof b, 1, stdin) != 1 || fread(&d, sizeof d, 1, stdin) != 1 ||
        fread(&h, sizeof h, 1, stdin) != 1 || fread(&u, sizeof u, 1, stdin) != 1 || getchar() != EOF)
        return 1;
    printf("grant %x %u %lu %lu %lu %lu %lu %u %u %lu %lu %u %u %s\n", g.magic, g.version, g.lease_id, g.enclave_id,
           g.enclave_base, g.enclave_size, g.compartment_base, g.compartment_index, g.thread_count, g.memory_limit,
           g.xfrm, g.flags, g.mapping_count, g.pool);
    for (int i = 0; i < 2; i++)
        printf("mapping %lu %lu %lu %u %u\n", g.mappings[i].address, g.mappings[i].size, g.mappings[i].offset,
               g.mappings[i].prot, g.mappings[i].descriptor);
    printf("request %u %u %lu %u %s %s %s\n", r.threads, r.flags, r.memory, r.wait_ms, r.pool, r.container, r.process);
    printf("bind %lu %u\n", b.lease_id, b.process_id);
    printf("granted %lu %lu\n", d.lease_id, d.build_us);
    printf("head %x %u %u %u %d\n", h.magic, h.version, h.type, h.size, h.status);
    printf("usage %lu %lu %lu %lu %u %u %u %u\n", u.lease_id, u.enclave_id, u.memory, u.memory_limit,
           u.compartment_index, u.thread_count, u.threads_in_use, u.process_id);
    return 0;
}
"""


def test_the_compiler_reads_what_python_writes(tmp_path: Path) -> None:
    source = tmp_path / "probe.c"
    source.write_text(PROBE)
    subprocess.run(["cc", "-I", str(ROOT), "-o", str(tmp_path / "probe"), str(source)], check=True)
    content = GRANT.pack() + REQUEST.pack() + AttachBind(20, 21).pack() + AttachGranted(22, 23).pack()
    content += Message(AttachType.CHILD, status=-11).pack() + AttachUsage(*range(30, 38)).pack()
    done = subprocess.run([str(tmp_path / "probe")], input=content, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == [
        f"LEASE_MAGIC {lease_grant.LEASE_MAGIC}",
        f"LEASE_VERSION {lease_grant.LEASE_VERSION}",
        f"LEASE_MAPPINGS_MAX {lease_grant.LEASE_MAPPINGS_MAX}",
        f"ATTACH_MAGIC {protocol.ATTACH_MAGIC}",
        f"ATTACH_VERSION {protocol.ATTACH_VERSION}",
        f"ATTACH_MESSAGE_MAX {protocol.ATTACH_MESSAGE_MAX}",
        "types " + " ".join(str(int(kind)) for kind in AttachType),
        "flags " + " ".join(str(int(flag)) for flag in (*LeaseFlag, RequestFlag.WAIT)),
        "grant 474c4d54 1 1 2 12288 16384 20480 6 7 8 9 5 2 pool-name",
        "mapping 10 11 12 13 14",
        "mapping 15 16 17 18 19",
        f"request 4 1 {1 << 30} 250 default moby/0123 exec-1",
        "bind 20 21",
        "granted 22 23",
        "head 50414d54 1 4 16 -11",
        "usage 30 31 32 33 34 35 36 37",
    ]


def test_what_is_packed_is_unpacked() -> None:
    assert LeaseGrant.unpack(GRANT.pack()) == GRANT
    assert AttachRequest.unpack(REQUEST.pack()) == REQUEST
    assert AttachBind.unpack(AttachBind(1, 2).pack()) == AttachBind(1, 2)
    usage = AttachUsage(*range(8))
    assert AttachUsage.unpack(usage.pack()) == usage
    assert AttachGranted.unpack(AttachGranted(1, 2).pack()) == AttachGranted(1, 2)
    message = Message(AttachType.RELEASE, protocol.pack_container("ns/c"), status=0)
    assert Message.unpack(message.pack()) == message
    assert protocol.unpack_container(message.body) == "ns/c"


def patched(content: bytes, offset: int, value: bytes) -> bytes:
    return content[:offset] + value + content[offset + len(value) :]


PING = Message(AttachType.PING).pack()


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"x", id="shorter than a head"),
        pytest.param(patched(PING, 0, b"XXXX"), id="magic"),
        pytest.param(patched(PING, 4, b"\x02\0"), id="version"),
        pytest.param(patched(PING, 6, b"\x63\0"), id="type"),
        pytest.param(patched(PING, 8, b"\xff\xff\xff\xff"), id="size too large"),
        pytest.param(patched(PING, 8, b"\0\0\0\0"), id="size zero"),
        pytest.param(PING + b"x", id="size too small"),
    ],
)
def test_bad_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        Message.unpack(packet)


BODY = REQUEST.pack()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BODY[:-1], id="short"),
        pytest.param(BODY + b"\0", id="long"),
        pytest.param(patched(BODY, 4, b"\x02\0\0\0"), id="unknown flag"),
        pytest.param(patched(BODY, 20, b"\x01\0\0\0"), id="reserved"),
        pytest.param(patched(BODY, 24, bytes(64)), id="no pool"),
        pytest.param(patched(BODY, 88, bytes(256)), id="no container"),
        pytest.param(patched(BODY, 24, b"a\0b"), id="bytes after the NUL"),
        pytest.param(patched(BODY, 24, b"\xff\xfe"), id="not UTF-8"),
        pytest.param(patched(BODY, 24, b"a\nb"), id="control character"),
    ],
)
def test_bad_request_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        AttachRequest.unpack(body)


@pytest.mark.parametrize("process_id", [0, 0x8000_0000, 0xFFFF_FFFF])
def test_bind_of_an_impossible_process_is_refused(process_id: int) -> None:
    with pytest.raises(ProtocolError):
        AttachBind.unpack(struct.pack("<QII", 1, process_id, 0))


@pytest.mark.parametrize(
    "request_",
    [
        AttachRequest(pool="p" * 64, container="c"),
        AttachRequest(pool="p", container="c" * 256),
        AttachRequest(pool="p\0q", container="c"),
        AttachRequest(pool="p", container="c", threads=-1),
        AttachRequest(pool="p", container="c", memory=1 << 64),
    ],
)
def test_request_that_does_not_fit_is_refused(request_: AttachRequest) -> None:
    with pytest.raises(ProtocolError):
        request_.pack()


def test_error_text_is_cut_to_the_packet() -> None:
    packet = protocol.error_message(AttachType.PING, 5, "x" * 10_000).pack()
    assert len(packet) == protocol.ATTACH_MESSAGE_MAX
    assert protocol.error_of(Message.unpack(packet)).code == 5


def open_null_devices() -> int:
    """Not all descriptors: threads that other tests have left behind may close some meanwhile."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(entry.readlink()) == os.devnull
    return found


@pytest.mark.parametrize("surplus", [1, 240])
def test_surplus_descriptors_are_closed(surplus: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Path("/dev/null").open() as null:
        before = open_null_devices()
        protocol.send_packet(theirs, PING, [null.fileno()] * (protocol.DESCRIPTORS_MAX + surplus))
        with pytest.raises(ProtocolError):
            protocol.receive_packet(ours)
        assert open_null_devices() == before


def test_received_descriptors_are_close_on_exec() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Path("/dev/null").open() as null:
        protocol.send_packet(theirs, PING, [null.fileno()])
        packet, descriptors, sender = protocol.receive_packet(ours)
        assert (packet, len(descriptors), sender) == (PING, 1, None)
        assert not os.get_inheritable(descriptors[0])
        protocol.close_all(descriptors)


def test_only_the_standard_library_is_imported() -> None:
    program = (
        "import sys; before = set(sys.modules); import enclave_host.attach_client; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [os.path.realpath("/proc/self/exe"), "-S", "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["enclave_host"]
