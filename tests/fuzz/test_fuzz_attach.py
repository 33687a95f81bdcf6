"""The attach protocol under fire: whatever a peer sends, the daemon lives, answers others, and leaks nothing.

Seeded, so that a failure can be repeated: TEEMATE_FUZZ_SEED and TEEMATE_FUZZ_ROUNDS.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import (
    ATTACH_MESSAGE_MAX,
    AttachBind,
    AttachRequest,
    AttachType,
    Message,
    RequestFlag,
    close_all,
    pack_container,
    receive_packet,
    send_packet,
)
from enclave_host.packed import ProtocolError
from tests.harness.patience import PATIENCE
from tests.unit.fake_host import RunningDaemon, descriptors_are_back, settled_descriptors

SEED = int(os.environ.get("TEEMATE_FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("TEEMATE_FUZZ_ROUNDS", "60"))
STEPS_PER_ROUND = 12
FLOOD = 500

INTERESTING = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x10\0\0\0", b"\x01", b"\xff", b"%s%n", b"\n"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    pools: dict[str, dict[str, object]] = {
        "default": {"compartments": 3, "threads": 1, "maximum": 1},
        "own": {"dedicated": True, "threads": 1, "maximum": 2},
    }
    with RunningDaemon(tmp_path_factory.mktemp("host"), pools) as running:
        running.wait_until(lambda daemon: daemon.pools.get("default").enclaves)
        yield running


def valid_packet(dice: random.Random) -> bytes:
    request = AttachRequest(
        pool=dice.choice(["default", "own", "none"]),
        container=f"ns/{dice.randrange(4)}",
        process=dice.choice(["", "exec"]),
        threads=dice.choice([0, 1, 2, 2**32 - 1]),
        memory=dice.choice([0, 4096, 2**63]),
        wait_ms=dice.choice([0, 1, 2**32 - 1]),
        flags=dice.choice([RequestFlag.NONE, RequestFlag.WAIT]),
    )
    bodies = [
        (AttachType.REQUEST, request.pack()),
        (AttachType.BIND, AttachBind(dice.randrange(1, 200), dice.choice([1, 2, os.getpid(), 2**22])).pack()),
        (AttachType.RELEASE, pack_container(f"ns/{dice.randrange(4)}")),
        (AttachType.PING, b""),
        (AttachType.CHILD, b""),
        (AttachType.SCRUB, b""),
        (AttachType.SCRUBBED, bytes(8)),
        (AttachType.PREPARE, bytes(8)),
        (AttachType.PREPARED, bytes(8)),
    ]
    kind, body = dice.choice(bodies)
    return Message(kind, body).pack()


def mutated(packet: bytes, dice: random.Random) -> bytes:
    content = bytearray(packet)
    for _ in range(dice.randint(1, 4)):
        action = dice.randrange(5)
        at = dice.randrange(len(content) + 1)
        if action == 0:
            content[at : at + 4] = dice.choice(INTERESTING)
        elif action == 1:
            del content[at:]
        elif action == 2:
            content[at:at] = dice.randbytes(dice.choice([1, 8, 300, ATTACH_MESSAGE_MAX]))
        elif action == 3 and content:
            content[at % len(content)] ^= 1 << dice.randrange(8)
        else:
            content += bytes(dice.randrange(64))
        if len(content) >= 12 and dice.random() < 0.5:  # let it come past the first check
            content[8:12] = struct.pack("<I", len(content))
    return bytes(content)


class Peer:
    """A connection that behaves badly."""

    def __init__(self, host: RunningDaemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self.socket.connect(str(host.run_directory / "attach.sock"))
        self.channels: list[int] = []

    def send(self, packet: bytes, descriptors: list[int]) -> None:
        with contextlib.suppress(OSError):  # hung up on, or the queue is full: as it should be
            send_packet(self.socket, packet, descriptors)

    def read(self) -> None:
        try:
            _, descriptors, _ = receive_packet(self.socket)
        except (OSError, ProtocolError):
            return
        if descriptors:
            self.channels.append(descriptors.pop())
        close_all(descriptors)

    def misuse_channel(self, dice: random.Random) -> None:
        if not self.channels:
            return
        with socket.socket(fileno=os.dup(dice.choice(self.channels))) as channel:
            channel.setblocking(False)
            packet = Message(AttachType.CHILD).pack()
            try:
                send_packet(channel, packet if dice.random() < 0.3 else mutated(packet, dice), some_descriptors(dice))
                _, descriptors, _ = receive_packet(channel)
                close_all(descriptors)
            except (OSError, ProtocolError):
                return

    def close(self) -> None:
        self.socket.close()
        close_all(self.channels)


def some_descriptors(dice: random.Random) -> list[int]:
    return [0] * dice.choice([0, 0, 0, 0, 1, 2, 10, 11, 200])


def one_round(host: RunningDaemon, dice: random.Random) -> None:
    peers = [Peer(host) for _ in range(dice.randint(1, 5))]
    for _ in range(STEPS_PER_ROUND):
        peer = dice.choice(peers)
        steps: list[Callable[[], None]] = [
            lambda peer=peer: peer.send(valid_packet(dice), []),
            lambda peer=peer: peer.send(valid_packet(dice), some_descriptors(dice)),
            lambda peer=peer: peer.send(mutated(valid_packet(dice), dice), some_descriptors(dice)),
            lambda peer=peer: peer.send(dice.randbytes(dice.randrange(ATTACH_MESSAGE_MAX * 2)), []),
            peer.read,
            lambda peer=peer: peer.misuse_channel(dice),
        ]
        dice.choice(steps)()
    dice.shuffle(peers)
    for peer in peers:
        peer.close()


def settle(host: RunningDaemon) -> None:
    """Wait until all that the peers did is over: no connection, no lease, every compartment free again."""
    host.wait_until(lambda daemon: daemon.attach_server.connections == 0)
    end_own_leases(host)
    host.wait_until(lambda daemon: not daemon.leases.leases)
    host.wait_until(lambda daemon: not daemon.pools.get("own").enclaves and not daemon.pools.get("own").building)
    host.wait_until(
        lambda daemon: (
            [c.state.value for e in daemon.pools.get("default").enclaves.values() for c in e.compartments]
            == ["free"] * 3
        )
    )
    assert host.call(lambda daemon: daemon.pools.get("default").retired) == 0


def end_own_leases(host: RunningDaemon) -> None:
    """What a peer has bound to a living process, such as this one, would outlive the test."""
    host.call(lambda daemon: [daemon.leases.end(lease) for lease in list(daemon.leases.leases.values())])


def test_daemon_survives_any_peer(host: RunningDaemon) -> None:
    settle(host)
    before = settled_descriptors()
    for number in range(ROUNDS):
        seed = SEED * 1_000_000 + number
        one_round(host, random.Random(seed))
        with AttachClient(host.run_directory, timeout=PATIENCE) as client:
            client.ping()
        end_own_leases(host)
        settle(host)
        assert descriptors_are_back(before), f"seed {seed} leaks descriptors"


def test_flood_of_one_peer_does_not_keep_others_out(host: RunningDaemon) -> None:
    settle(host)
    before = settled_descriptors()
    flooder = Peer(host)
    for _ in range(FLOOD):
        flooder.send(Message(AttachType.PING).pack(), [])  # and never reads an answer
    with AttachClient(host.run_directory, timeout=PATIENCE) as client:
        client.ping()
    flooder.close()
    settle(host)
    assert descriptors_are_back(before)


def test_many_half_open_connections_leave_room_for_an_answer(host: RunningDaemon) -> None:
    settle(host)
    before = settled_descriptors()
    peers = []
    for _ in range(FLOOD + 100):
        try:
            peers.append(Peer(host))
        except BlockingIOError:  # the backlog is full for the moment
            host.call(lambda daemon: None)
    host.wait_until(lambda daemon: daemon.attach_server.connections >= min(len(peers), 500))
    for peer in peers:
        peer.close()
    with AttachClient(host.run_directory, timeout=PATIENCE) as client:
        client.ping()
    settle(host)
    assert descriptors_are_back(before)


def test_files_with_odd_contents_are_no_grants(tmp_path: Path) -> None:
    """The reader of grants, which tools use, takes only what the daemon writes."""
    from enclave_host.lease_grant import LeaseGrant

    dice = random.Random(SEED)
    for _ in range(ROUNDS * 10):
        with pytest.raises(ProtocolError):
            LeaseGrant.unpack(dice.randbytes(dice.choice([0, 1, 399, 400, 401])))
