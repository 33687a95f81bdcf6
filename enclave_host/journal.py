"""The journal: what a restarted daemon must know of leases and of pools made at run time.

JSON lines, appended without fsync: they must survive the daemon, not the machine, whose crash ends the containers
too. Compaction writes a new file, fsyncs it and renames it over the old one.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from enclave_host.blueprint import EnclaveLayout
from enclave_host.config import Heap
from enclave_host.lease_grant import LeaseMapping
from enclave_host.providers.base import FileIdentity

_COMPACT_LINES = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EnclaveRecord:
    """What is needed to adopt an enclave."""

    id: int
    pool: str
    plan: EnclaveLayout
    image: FileIdentity
    image_segments: tuple[LeaseMapping, ...]
    mrenclave: str
    mrsigner: str
    size: int
    build_us: int
    created: float

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "EnclaveRecord":
        plan = document["plan"]
        return cls(
            **document
            | {
                "plan": EnclaveLayout(**plan | {"heap": Heap(plan["heap"])}),
                "image": FileIdentity(**document["image"]),
                "image_segments": tuple(LeaseMapping(**segment) for segment in document["image_segments"]),
            }
        )


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """What is needed to adopt a lease whose process lives."""

    id: int
    enclave_id: int
    compartment: int
    compartment_file: FileIdentity
    container: str
    process_name: str
    threads: int
    memory: int
    build_us: int
    parent_id: int
    granted: float
    pid: int
    start_time: int
    channel: FileIdentity | None  # the mate's end

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "LeaseRecord":
        channel = document["channel"]
        return cls(
            **document
            | {
                "compartment_file": FileIdentity(**document["compartment_file"]),
                "channel": None if channel is None else FileIdentity(**channel),
            }
        )


class Journal:
    """The live records, in memory and on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.leases: dict[int, LeaseRecord] = {}
        self.enclaves: dict[int, EnclaveRecord] = {}
        self.pools: dict[str, dict[str, object]] = {}
        self.last_id = 0
        self._lines = 0
        self._cut = False
        self._read()
        self._fd = -1
        self._compact()

    def close(self) -> None:
        os.close(self._fd)

    def add_lease(self, lease: LeaseRecord, enclave: EnclaveRecord) -> None:
        """A lease is bound."""
        if enclave.id not in self.enclaves:
            self.enclaves[enclave.id] = enclave
            self._append({"enclave": asdict(enclave)})
        self.leases[lease.id] = lease
        self._append({"lease": asdict(lease)})

    def end_lease(self, lease_id: int) -> None:
        lease = self.leases.pop(lease_id, None)
        if lease is None:
            return
        self._append({"lease_end": lease_id})
        if not any(other.enclave_id == lease.enclave_id for other in self.leases.values()):
            self.enclaves.pop(lease.enclave_id, None)
            self._append({"enclave_end": lease.enclave_id})

    def add_pool(self, name: str, settings: dict[str, object]) -> None:
        """A pool was made, resized or drained at run time."""
        self.pools[name] = settings
        self._append({"pool": {"name": name, "settings": settings}})

    def remove_pool(self, name: str) -> None:
        if self.pools.pop(name, None) is not None:
            self._append({"pool_end": name})

    def next_id(self) -> int:
        """A number for an enclave or a lease that no earlier daemon has given to a living one."""
        self.last_id += 1
        return self.last_id

    def _append(self, document: dict[str, Any]) -> None:
        line = _line(document)
        # A cut line would swallow the next one.
        data = b"\n" + line if self._cut else line
        try:
            self._cut = os.write(self._fd, data) != len(data)
        except OSError as error:
            self._cut = True
            _log.error("%s cannot be written, leases may not survive a restart of the daemon: %s", self._path, error)
            return
        self._lines += 1
        if self._lines > _COMPACT_LINES + 4 * (len(self.leases) + len(self.enclaves) + len(self.pools)):
            try:
                self._compact()
            except OSError as error:
                _log.error("%s cannot be compacted: %s", self._path, error)

    def _compact(self) -> None:
        documents: list[dict[str, Any]] = [{"last_id": self.last_id}]
        documents += [{"enclave": asdict(record)} for record in self.enclaves.values()]
        documents += [{"lease": asdict(record)} for record in self.leases.values()]
        documents += [{"pool": {"name": name, "settings": s}} for name, s in self.pools.items()]
        temporary = self._path.with_suffix(".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _write_all(fd, b"".join(_line(document) for document in documents))
        os.fsync(fd)
        temporary.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(directory)
        os.close(directory)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._lines = len(documents)

    def _read(self) -> None:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(lines[:-1], start=1):  # the last one is empty, or was cut by a crash
            if not line:
                continue
            try:
                self._replay(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                _log.error("%s line %d is not a journal record and is ignored: %s", self._path, number, error)

    def _replay(self, document: dict[str, Any]) -> None:
        ((kind, value),) = document.items()
        if kind == "lease":
            lease = LeaseRecord.from_json(value)
            self.leases[lease.id] = lease
            self.last_id = max(self.last_id, lease.id)
        elif kind == "enclave":
            enclave = EnclaveRecord.from_json(value)
            self.enclaves[enclave.id] = enclave
            self.last_id = max(self.last_id, enclave.id)
        elif kind == "pool":
            self.pools[value["name"]] = dict(value["settings"])
        elif kind == "lease_end":
            self.leases.pop(value, None)
        elif kind == "enclave_end":
            self.enclaves.pop(value, None)
        elif kind == "pool_end":
            self.pools.pop(value, None)
        elif kind == "last_id":
            self.last_id = max(self.last_id, int(value))
        else:
            raise ValueError(f"unknown record `{kind}`")


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
