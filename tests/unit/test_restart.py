"""A daemon that is killed, and the next one that adopts what lives. Real processes, stand-ins for LibOS and mate."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import AttachError
from protos import host_pb2, host_pb2_grpc
from tests.harness.patience import PATIENCE
from tests.unit.fake_host import shared_key, write_image, write_mate

# Plays the mate: holds a bound lease, and at each line on its standard input asks for a child's lease and says what
# it got.
HOLDER = """
import os, socket, sys
from pathlib import Path
from enclave_host.attach_client import AttachClient
from enclave_host.attach_protocol import *
client = AttachClient(Path(sys.argv[1]))
grant = client.request(AttachRequest(pool="default", container=sys.argv[2]))
client.bind(grant.lease_id, process_id=os.getpid())
client.close()
channel = socket.socket(fileno=grant.descriptors[-1])
os.pwrite(grant.descriptors[2], b"kept", 0x2000000)
print(grant.lease_id, flush=True)
for line in sys.stdin:
    if line == "read\\n":
        print(os.pread(grant.descriptors[2], 4, 0x2000000).decode(), flush=True)
        continue
    channel.send(Message(AttachType.CHILD).pack())
    packet, descriptors, _ = receive_packet(channel)
    print(AttachGranted.unpack(Message.unpack(packet).body).lease_id, flush=True)
    close_all(descriptors)
"""


class Host:
    """teemate-hostd as a process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pools: dict[str, Any] = {"default": {"compartments": 2, "threads": 1, "maximum": 4}}
        self.process: subprocess.Popen[bytes] | None = None
        self.holders: list[subprocess.Popen[str]] = []
        self._channel: grpc.Channel | None = None
        write_image(directory / "libos.elf")
        write_mate(directory / "mate")

    @property
    def run_directory(self) -> Path:
        return self.directory / "run"

    def start(self) -> None:
        config = {
            "run_directory": str(self.run_directory),
            "state_directory": str(self.directory / "state"),
            "image": str(self.directory / "libos.elf"),
            "mate": str(self.directory / "mate"),
            "signing_key": str(shared_key()),
            "pools": self.pools,
        }
        path = self.directory / "hostd.yaml"
        path.write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen([sys.executable, "-m", "enclave_host", "--config", str(path)])
        wait_until(self.answers)

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None
        try:
            self.stub().ListPools(host_pb2.ListPoolsRequest())
            with AttachClient(self.run_directory) as client:
                client.ping()
        except (grpc.RpcError, AttachError):
            return False
        return True

    def stub(self) -> Any:
        """By a channel of its own, since one that has failed pauses before it tries again."""
        self.close_channel()
        options = [("grpc.use_local_subchannel_pool", 1)]  # or it would share the others' pauses
        self._channel = grpc.insecure_channel(f"unix:{self.run_directory}/host.sock", options)
        return host_pb2_grpc.HostStub(self._channel)

    def close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    def hold(self, container: str) -> tuple[subprocess.Popen[str], int]:
        """A process that holds a lease: (process, lease id)."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.run_directory), container],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.holders.append(holder)
        assert holder.stdout is not None
        return holder, int(holder.stdout.readline())

    def leases(self) -> dict[int, Any]:
        return {lease.id: lease for lease in self.stub().ListLeases(host_pb2.ListLeasesRequest()).leases}

    def enclaves(self) -> dict[int, Any]:
        return {enclave.id: enclave for enclave in self.stub().ListEnclaves(host_pb2.ListEnclavesRequest()).enclaves}


def wait_until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the state was not reached in time"
        time.sleep(0.02)


def say(holder: subprocess.Popen[str], line: str) -> str:
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdin.write(line + "\n")
    holder.stdin.flush()
    return holder.stdout.readline().strip()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    running = Host(tmp_path)
    running.start()
    yield running
    for holder in running.holders:
        holder.kill()
        holder.wait()
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.close()
        holder.stdout.close()
    running.close_channel()
    if running.process is not None and running.process.poll() is None:
        running.end(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_living_leases_are_adopted(host: Host, number: signal.Signals) -> None:
    holders = [host.hold(f"ns/{n}") for n in range(3)]
    before = host.leases()
    assert host.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    host.start()
    after = host.leases()
    assert after.keys() == before.keys() == {lease for _, lease in holders}
    for lease_id, lease in after.items():
        same = (
            "pool",
            "enclave_id",
            "compartment",
            "container",
            "state",
            "process_id",
            "threads",
            "memory_limit",
            "granted",
        )
        assert [getattr(lease, key) for key in same] == [getattr(before[lease_id], key) for key in same]
    for holder, _ in holders:
        assert say(holder, "read") == "kept"
    # What was adopted grants nothing new.
    _, new = host.hold("ns/new")
    adopted = {lease.enclave_id for lease in after.values()}
    assert host.leases()[new].enclave_id not in adopted
    enclaves = host.enclaves()
    assert all(enclaves[number].draining for number in adopted)
    # And it ends as if nothing had happened.
    for holder, _ in holders:
        holder.kill()
    wait_until(lambda: host.leases().keys() == {new})
    wait_until(lambda: not adopted & host.enclaves().keys())


def test_children_get_leases_through_the_reconnected_channel(host: Host) -> None:
    holder, lease_id = host.hold("ns/parent")
    for _ in range(2):
        host.end(signal.SIGKILL)
        host.start()
        child = int(say(holder, "child"))
        assert host.leases()[child].parent_id == lease_id


def test_what_ended_meanwhile_is_forgotten(host: Host) -> None:
    (gone, _), (alive, kept) = host.hold("ns/gone"), host.hold("ns/alive")
    host.end(signal.SIGKILL)
    gone.kill()
    gone.wait()
    host.start()
    assert host.leases().keys() == {kept}
    assert alive.poll() is None


def test_reused_process_id_is_not_mistaken_for_the_holder(host: Host) -> None:
    """The journal names this very test as the holder, but with the start time of another process."""
    _, lease_id = host.hold("ns/one")
    host.end(signal.SIGKILL)
    journal = host.directory / "state" / "journal"
    start_time = f'"start_time":{host_start_time(host.holders[0].pid)}'
    content = journal.read_text()
    assert start_time in content
    journal.write_text(content.replace(start_time, '"start_time":1'))
    host.start()
    assert lease_id not in host.leases()


def host_start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_pool_that_has_left_the_configuration_drains(host: Host) -> None:
    holder, lease_id = host.hold("ns/one")
    host.end(signal.SIGTERM)
    host.pools = {"other": {"threads": 1}}
    host.start()
    assert host.leases().keys() == {lease_id}
    (pool,) = [pool for pool in host.stub().ListPools(host_pb2.ListPoolsRequest()).pools if pool.name == "default"]
    assert pool.draining and not pool.configured
    holder.kill()
    wait_until(lambda: not host.leases())
    host.stub().DeletePool(host_pb2.DeletePoolRequest(name="default"))


def test_pools_made_at_run_time_are_kept(host: Host) -> None:
    settings = host_pb2.PoolSettings(compartments=3, threads=2, ready=0, maximum=2, trust_domain="tenant")
    host.stub().CreatePool(host_pb2.CreatePoolRequest(name="extra", settings=settings))
    host.stub().ResizePool(host_pb2.ResizePoolRequest(name="extra", maximum=5))
    host.end(signal.SIGKILL)
    host.start()
    pool = host.stub().GetPool(host_pb2.GetPoolRequest(name="extra"))
    assert (pool.settings.compartments, pool.settings.maximum, pool.settings.trust_domain) == (3, 5, "tenant")
    host.stub().DeletePool(host_pb2.DeletePoolRequest(name="extra"))
    host.end(signal.SIGTERM)
    host.start()
    with pytest.raises(grpc.RpcError) as refused:
        host.stub().GetPool(host_pb2.GetPoolRequest(name="extra"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_nothing_outlives_the_daemon(host: Host) -> None:
    assert host.process is not None
    children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
    assert children, "there is a janitor"
    host.end(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_sockets_are_for_their_owner_only(host: Host) -> None:
    assert host.run_directory.stat().st_mode & 0o777 == 0o700
    for name in ("attach.sock", "host.sock"):
        assert (host.run_directory / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_other_users_get_no_lease(host: Host) -> None:
    """Even where the file system would let them in."""
    host.run_directory.chmod(0o755)
    (host.run_directory / "attach.sock").chmod(0o666)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = os.fork()
        if child == 0:
            try:
                os.chdir(host.run_directory)  # pytest's directory is root's
                os.setuid(65534)
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                connection.connect("attach.sock")
                theirs.send(connection.recv(4096))
            except OSError as error:
                theirs.send(str(error).encode())
            finally:
                os._exit(0)
        answer = ours.recv(4096)
        os.waitpid(child, 0)
    assert b"only root may" in answer
    with AttachClient(host.run_directory) as client:
        client.ping()


@pytest.mark.parametrize("key", ["image", "mate"])
def test_unusable_file_is_named_and_nothing_is_left(tmp_path: Path, key: str) -> None:
    config = {"run_directory": str(tmp_path / "run"), "state_directory": str(tmp_path / "state"), "pools": {}}
    config |= {"image": str(write_image(tmp_path / "libos.elf")), "mate": str(write_mate(tmp_path / "mate"))}
    config[key] = str(tmp_path / "missing")
    (tmp_path / "hostd.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "enclave_host", "--config", str(tmp_path / "hostd.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "missing" in done.stderr and key in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "attach.sock").exists()
