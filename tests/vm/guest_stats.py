"""In the guest: the shim's metrics of a running container under control groups of version 2, against the files."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import Message

from protos.containerd import cgroups_v2_pb2
from shim.cgroup import UNLIMITED, Cgroup
from tests.vm.guest_container import Container
from tests.vm.guest_host import check, container, until

_LIMIT = 256 << 20
# Each is counted anew when it is read, and what a processor has not handed in yet is missing from it.
_ALMOST = 64 * 4096


def check_stats() -> None:
    """A container of its own, which is frozen while it is counted: then the files say the same twice."""
    counted = container("counted", "/usr/bin/sqlite3", memory=_LIMIT)
    check(until(counted.start, "the compartment is free"), "start a container to be counted")
    counted.tell("create table t(word text); select 'counted';\n.output /tmp/said\nselect 'said';\n.output stdout\n")
    check(until(lambda: "said" in counted.wrote("said"), "it answers"), "it works")
    cgroup = Cgroup.of_process(counted.process)
    check(cgroup.v2 == Path("/sys/fs/cgroup") / counted.name, f"its control group is of version 2: {cgroup.v2}")
    if cgroup.v2:
        (cgroup.v2 / "cgroup.freeze").write_text("1")
        check(until(lambda: _table(cgroup.v2, "cgroup.events").get("frozen") == 1, "it is frozen"), "freeze it")
        metrics = cgroup.metrics()
        check(isinstance(metrics, cgroups_v2_pb2.Metrics), "the metrics are those of version 2")
        if isinstance(metrics, cgroups_v2_pb2.Metrics):
            _compare(metrics, cgroup.v2)
        (cgroup.v2 / "cgroup.freeze").write_text("0")
    _end(counted)


def _compare(metrics: cgroups_v2_pb2.Metrics, directory: Path) -> None:
    singular = [field for field in metrics.DESCRIPTOR.fields if field.message_type and not field.is_repeated]
    missing = [field.name for field in singular if not metrics.HasField(field.name)]
    check(not missing, f"every sub-message is there ({missing})")
    for message, file in (
        (metrics.cpu, "cpu.stat"),
        (metrics.memory, "memory.stat"),
        (metrics.memory_events, "memory.events"),
    ):
        _compare_table(message, directory, file)
    current = _number(directory, "pids.current")
    check(metrics.pids.current == current >= 1, f"{metrics.pids.current} processes of {current}")
    check(0 < metrics.cpu.usage_usec >= metrics.cpu.user_usec, "it has used the processor")
    check(metrics.cpu.user_usec + metrics.cpu.system_usec <= metrics.cpu.usage_usec + 1, "which adds up")
    usage = _number(directory, "memory.current")
    check(abs(metrics.memory.usage - usage) <= _ALMOST, f"memory: {metrics.memory.usage} of {usage} bytes")
    check(0 < metrics.memory.anon < metrics.memory.usage_limit == _LIMIT, "its memory is within its limit")
    check(metrics.memory.pgfault > 0, "it has touched memory")
    check(metrics.memory.swap_limit in (UNLIMITED, 0), f"no limit of swap: {metrics.memory.swap_limit}")


def _compare_table(message: Message, directory: Path, file: str) -> None:
    """Each field that the kernel's file has, too. They may not all be there: kernels differ."""
    told = _table(directory, file)
    common = [field.name for field in message.DESCRIPTOR.fields if field.name in told]
    check(len(common) >= 3, f"{file}: {len(common)} of {len(told)} values are in the message")
    wrong = {name: (getattr(message, name), told[name]) for name in common if getattr(message, name) != told[name]}
    if file == "memory.stat":
        wrong = {name: (ours, theirs) for name, (ours, theirs) in wrong.items() if abs(ours - theirs) > _ALMOST}
    check(not wrong, f"{file}: the values are the file's ({wrong})")


def _table(directory: Path | None, file: str) -> dict[str, int]:
    assert directory
    return {name: int(value) for name, value in map(str.split, (directory / file).read_text().splitlines())}


def _number(directory: Path, file: str) -> int:
    return int((directory / file).read_text())


def _end(counted: Container) -> None:
    counted.tell(".quit\n")
    check(until(counted.has_ended, "it ends"), "thawed, it ends by itself")
    counted.delete()
