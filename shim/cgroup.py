"""Finding a container's cgroup and freezing its metrics into containerd's messages."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

from protos.containerd import cgroups_v1_pb2, cgroups_v2_pb2

ROOT = Path("/sys/fs/cgroup")
UNLIMITED = (1 << 64) - 1
NANOSECONDS_PER_TICK = 10_000_000  # USER_HZ is 100 on x86


@dataclass(frozen=True)
class Cgroup:
    """The cgroup directories of a process: by controller on v1, one on v2."""

    v1: dict[str, Path]
    v2: Path | None

    @classmethod
    def of_process(cls, pid: int, *, root: Path = ROOT, proc: Path = Path("/proc")) -> "Cgroup":
        """Read /proc/PID/cgroup. Raises OSError when the process is gone."""
        v1: dict[str, Path] = {}
        unified: Path | None = None
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            _number, controllers, path = line.split(":", 2)
            if controllers:
                for name in controllers.split(","):
                    v1[name] = root / controllers / path.lstrip("/")
            else:
                unified = root / path.lstrip("/")
        return cls(v1=v1, v2=None if v1 else unified)

    def metrics(self) -> cgroups_v1_pb2.Metrics | cgroups_v2_pb2.Metrics:
        """containerd's Metrics, every sub-message filled: dockerd dereferences them all."""
        return _metrics_v2(self.v2) if self.v2 is not None else _metrics_v1(self.v1)


def _number(path: Path, default: int = 0) -> int:
    """The number in a cgroup file; `max` is UNLIMITED, a missing file the default."""
    try:
        text = path.read_text().strip()
    except OSError:
        return default
    return UNLIMITED if text == "max" else int(text)


def _table(path: Path) -> dict[str, int]:
    """A flat keyed file ("name value" lines), or an empty table when it is missing."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}


def _copy(message: Message, table: dict[str, int], *, rename: dict[str, str] | None = None) -> None:
    """Set each field of `message` that the kernel's table has under the same (or the renamed) name."""
    for field in message.DESCRIPTOR.fields:
        name = (rename or {}).get(field.name, field.name)
        if field.message_type is None and name in table and table[name] >= 0:
            setattr(message, field.name, table[name])


# containerd spells some of memory.stat's names its own way.
_MEMORY_V1_NAMES = {"hierarchical_swap_limit": "hierarchical_memsw_limit"} | {
    f"{prefix}{ours}": f"{prefix}{kernel}"
    for prefix in ("", "total_")
    for ours, kernel in (
        ("pg_pg_in", "pgpgin"),
        ("pg_pg_out", "pgpgout"),
        ("pg_fault", "pgfault"),
        ("pg_maj_fault", "pgmajfault"),
    )
}


def _metrics_v1(directories: dict[str, Path]) -> cgroups_v1_pb2.Metrics:
    missing = Path("/nonexistent")
    metrics = cgroups_v1_pb2.Metrics()
    pids = directories.get("pids", missing)
    metrics.pids.current = _number(pids / "pids.current")
    limit = _number(pids / "pids.max", UNLIMITED)
    metrics.pids.limit = 0 if limit == UNLIMITED else limit

    cpuacct = directories.get("cpuacct", missing)
    metrics.cpu.usage.total = _number(cpuacct / "cpuacct.usage")
    ticks = _table(cpuacct / "cpuacct.stat")
    metrics.cpu.usage.user = ticks.get("user", 0) * NANOSECONDS_PER_TICK
    metrics.cpu.usage.kernel = ticks.get("system", 0) * NANOSECONDS_PER_TICK
    with contextlib.suppress(OSError):  # the controller is not mounted: the list stays empty
        metrics.cpu.usage.per_cpu.extend(int(value) for value in (cpuacct / "cpuacct.usage_percpu").read_text().split())
    throttling = _table(directories.get("cpu", missing) / "cpu.stat")
    metrics.cpu.throttling.SetInParent()
    _copy(metrics.cpu.throttling, throttling, rename={"periods": "nr_periods", "throttled_periods": "nr_throttled"})

    memory = directories.get("memory", missing)
    stat = {
        name.replace("pgpg", "pg_pg_").replace("pgfault", "pg_fault"): value
        for name, value in _table(memory / "memory.stat").items()
    }
    stat = _table(memory / "memory.stat")
    metrics.memory.SetInParent()
    _copy(metrics.memory, stat, rename=_MEMORY_V1_NAMES)
    for entry, prefix in (
        (metrics.memory.usage, "memory"),
        (metrics.memory.swap, "memory.memsw"),
        (metrics.memory.kernel, "memory.kmem"),
        (metrics.memory.kernel_tcp, "memory.kmem.tcp"),
    ):
        entry.usage = _number(memory / f"{prefix}.usage_in_bytes")
        entry.limit = _number(memory / f"{prefix}.limit_in_bytes")
        entry.max = _number(memory / f"{prefix}.max_usage_in_bytes")
        entry.failcnt = _number(memory / f"{prefix}.failcnt")
    metrics.memory_oom_control.SetInParent()
    _copy(metrics.memory_oom_control, _table(memory / "memory.oom_control"))
    metrics.blkio.SetInParent()
    _blkio_v1(metrics.blkio, directories.get("blkio", missing))
    metrics.rdma.SetInParent()
    metrics.cgroup_stats.SetInParent()
    return metrics


def _blkio_v1(blkio: cgroups_v1_pb2.BlkIOStat, directory: Path) -> None:
    for entries, name in (
        (blkio.io_service_bytes_recursive, "blkio.throttle.io_service_bytes_recursive"),
        (blkio.io_serviced_recursive, "blkio.throttle.io_serviced_recursive"),
    ):
        try:
            lines = (directory / name).read_text().splitlines()
        except OSError:
            continue
        for words in (line.split() for line in lines):
            if len(words) == 3:
                major, minor = words[0].split(":")
                entries.add(major=int(major), minor=int(minor), op=words[1], value=int(words[2]))


def _metrics_v2(directory: Path) -> cgroups_v2_pb2.Metrics:
    metrics = cgroups_v2_pb2.Metrics()
    metrics.pids.current = _number(directory / "pids.current")
    limit = _number(directory / "pids.max", UNLIMITED)
    metrics.pids.limit = 0 if limit == UNLIMITED else limit
    metrics.cpu.SetInParent()
    _copy(metrics.cpu, _table(directory / "cpu.stat"))
    metrics.memory.SetInParent()
    _copy(metrics.memory, _table(directory / "memory.stat"))
    metrics.memory.usage = _number(directory / "memory.current")
    metrics.memory.usage_limit = _number(directory / "memory.max", UNLIMITED)
    metrics.memory.swap_usage = _number(directory / "memory.swap.current")
    metrics.memory.swap_limit = _number(directory / "memory.swap.max", UNLIMITED)
    metrics.memory_events.SetInParent()
    _copy(metrics.memory_events, _table(directory / "memory.events"))
    metrics.rdma.SetInParent()
    metrics.io.SetInParent()
    try:
        lines = (directory / "io.stat").read_text().splitlines()
    except OSError:
        lines = []
    for device, *pairs in (line.split() for line in lines if line):
        major, minor = device.split(":")
        values = dict(pair.split("=", 1) for pair in pairs)
        metrics.io.usage.add(
            major=int(major),
            minor=int(minor),
            **{name: int(values.get(name, 0)) for name in ("rbytes", "wbytes", "rios", "wios")},
        )
    return metrics
