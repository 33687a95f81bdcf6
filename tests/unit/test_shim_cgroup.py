"""Metrics from control group files, both versions; every sub-message is there, since dockerd dereferences them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from enclave_host.attach_protocol import AttachUsage
from protos import metrics_pb2
from protos.containerd import cgroups_v1_pb2, cgroups_v2_pb2
from shim import enclave_metrics
from shim.cgroup import UNLIMITED, Cgroup
from teemate_runtime.oci.attach import Usage


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def of_process(tmp_path: Path, membership: str) -> Cgroup:
    write(tmp_path, {"proc/7/cgroup": membership})
    return Cgroup.of_process(7, root=tmp_path / "fs", proc=tmp_path / "proc")


def test_membership_in_version_1(tmp_path: Path) -> None:
    cgroup = of_process(tmp_path, "8:pids:/a/b\n2:cpu,cpuacct:/a:c\n1:name=systemd:/\n0::/x\n")
    assert cgroup.v2 is None
    assert cgroup.v1["pids"] == tmp_path / "fs/pids/a/b"
    assert cgroup.v1["cpu"] == cgroup.v1["cpuacct"] == tmp_path / "fs/cpu,cpuacct/a:c"


def test_membership_in_version_2(tmp_path: Path) -> None:
    cgroup = of_process(tmp_path, "0::/system.slice/x.scope\n")
    assert cgroup.v2 == tmp_path / "fs/system.slice/x.scope" and not cgroup.v1


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Cgroup.of_process(7, proc=tmp_path)


def all_messages_set(message: Message) -> list[str]:
    """The names of sub-messages that are not set."""
    missing = []
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and not field.is_repeated and not message.HasField(field.name):
            missing.append(field.full_name)
    return missing


V1 = {
    "fs/pids/c/pids.current": "3\n",
    "fs/pids/c/pids.max": "max\n",
    "fs/cpuacct/c/cpuacct.usage": "123456789\n",
    "fs/cpuacct/c/cpuacct.stat": "user 5\nsystem 7\n",
    "fs/cpuacct/c/cpuacct.usage_percpu": "100 200 \n",
    "fs/cpu/c/cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 99\n",
    "fs/memory/c/memory.usage_in_bytes": "4096\n",
    "fs/memory/c/memory.limit_in_bytes": "9223372036854771712\n",
    "fs/memory/c/memory.max_usage_in_bytes": "8192\n",
    "fs/memory/c/memory.failcnt": "1\n",
    "fs/memory/c/memory.stat": "cache 10\nrss 20\npgfault 30\ntotal_pgmajfault 40\nhierarchical_memsw_limit 50\n",
    "fs/memory/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "fs/blkio/c/blkio.throttle.io_service_bytes_recursive": "8:16 Read 512\n8:16 Write 0\nTotal 512\n",
}


def test_version_1(tmp_path: Path) -> None:
    write(tmp_path, V1)
    names = ("pids", "cpuacct", "cpu", "memory", "blkio")
    metrics = of_process(tmp_path, "".join(f"{n}:{name}:/c\n" for n, name in enumerate(names, 1))).metrics()
    assert not all_messages_set(metrics) and not all_messages_set(metrics.cpu) and not all_messages_set(metrics.memory)
    assert (metrics.pids.current, metrics.pids.limit) == (3, 0)
    assert metrics.cpu.usage.total == 123456789
    assert (metrics.cpu.usage.user, metrics.cpu.usage.kernel) == (50_000_000, 70_000_000)
    assert list(metrics.cpu.usage.per_cpu) == [100, 200]
    throttling = metrics.cpu.throttling
    assert (throttling.periods, throttling.throttled_periods, throttling.throttled_time) == (4, 2, 99)
    assert (metrics.memory.usage.usage, metrics.memory.usage.max, metrics.memory.usage.failcnt) == (4096, 8192, 1)
    assert (metrics.memory.cache, metrics.memory.rss) == (10, 20)
    assert (metrics.memory.pg_fault, metrics.memory.total_pg_maj_fault) == (30, 40)
    assert metrics.memory.hierarchical_swap_limit == 50
    assert metrics.memory_oom_control.oom_kill == 3
    (entry, _) = metrics.blkio.io_service_bytes_recursive
    assert (entry.major, entry.minor, entry.op, entry.value) == (8, 16, "Read", 512)


def test_version_1_without_any_file(tmp_path: Path) -> None:
    metrics = of_process(tmp_path, "1:name=systemd:/\n").metrics()
    assert not all_messages_set(metrics)


V2 = {
    "fs/c/pids.current": "3\n",
    "fs/c/pids.max": "100\n",
    "fs/c/cpu.stat": "usage_usec 10\nuser_usec 6\nsystem_usec 4\n",
    "fs/c/memory.current": "4096\n",
    "fs/c/memory.max": "max\n",
    "fs/c/memory.swap.current": "1\n",
    "fs/c/memory.swap.max": "2\n",
    "fs/c/memory.stat": "anon 11\nfile 12\n",
    "fs/c/memory.events": "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n",
    "fs/c/io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:0\n",
}


def test_version_2(tmp_path: Path) -> None:
    write(tmp_path, V2)
    metrics = of_process(tmp_path, "0::/c\n").metrics()
    assert not all_messages_set(metrics)
    assert (metrics.pids.current, metrics.pids.limit) == (3, 100)
    assert (metrics.cpu.usage_usec, metrics.cpu.user_usec, metrics.cpu.system_usec) == (10, 6, 4)
    assert (metrics.memory.usage, metrics.memory.usage_limit) == (4096, UNLIMITED)
    assert (metrics.memory.swap_usage, metrics.memory.swap_limit) == (1, 2)
    assert (metrics.memory.anon, metrics.memory.file) == (11, 12)
    assert (metrics.memory_events.oom, metrics.memory_events.oom_kill) == (2, 1)
    first, second = metrics.io.usage
    assert (first.rbytes, first.wbytes, first.rios, first.wios) == (1, 2, 3, 4)
    assert (second.major, second.rbytes) == (7, 0)


@pytest.mark.parametrize(("files", "membership"), [(V1, "1:pids:/c\n2:memory:/c\n"), (V2, "0::/c\n")])
def test_the_enclaves_part_is_in_addition(tmp_path: Path, files: dict[str, str], membership: str) -> None:
    """containerd and its clients decode what they know, and keep the rest."""
    write(tmp_path, files)
    metrics = of_process(tmp_path, membership).metrics()
    usages = [Usage(AttachUsage(1, 2, 4096, 1 << 20, 3, 8, 5, 77).pack()), Usage(AttachUsage(*[1] * 8).pack())]
    written = enclave_metrics.append(metrics.SerializeToString(), enclave_metrics.enclave_metrics(usages))
    decoded = type(metrics).FromString(written)
    assert [(field.name, value) for field, value in decoded.ListFields()] == [
        (field.name, value) for field, value in metrics.ListFields()
    ]
    enclave = enclave_metrics.read(Any(value=decoded.SerializeToString()))
    assert enclave is not None
    assert (enclave.tcs_in_use, enclave.epc_committed) == (6, 4097)
    assert enclave.processes[0] == metrics_pb2.Process(
        process_id=77, enclave_id=2, compartment=3, tcs=8, tcs_in_use=5, epc_committed=4096, epc_limit=1 << 20
    )


def test_metrics_without_an_enclave(tmp_path: Path) -> None:
    write(tmp_path, V2)
    metrics = of_process(tmp_path, "0::/c\n").metrics()
    assert enclave_metrics.read(Any(value=metrics.SerializeToString())) is None
    with pytest.raises(DecodeError):
        enclave_metrics.read(Any(value=b"\xff"))


@pytest.mark.parametrize("message", [cgroups_v1_pb2.Metrics, cgroups_v2_pb2.Metrics])
def test_our_field_is_none_of_containerds(message: type[Message]) -> None:
    (ours,) = metrics_pb2.ContainerMetrics.DESCRIPTOR.fields
    assert ours.number not in message.DESCRIPTOR.fields_by_number
    assert ours.number > 50_000
