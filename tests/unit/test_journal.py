"""The journal survives crashes in the middle of a line, nonsense, and its own compaction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from enclave_host.blueprint import EnclaveLayout
from enclave_host.config import Heap
from enclave_host.journal import EnclaveRecord, Journal, LeaseRecord
from enclave_host.lease_grant import LeaseMapping
from enclave_host.providers.base import FileIdentity

ENCLAVE = EnclaveRecord(
    id=3,
    pool="default",
    plan=EnclaveLayout(compartments=2, threads=4, heap=Heap.MEASURED, heap_size=1 << 20),
    image=FileIdentity(device=1, inode=77),
    image_segments=(LeaseMapping(address=1 << 40, size=4096, offset=0, prot=5, descriptor=0),),
    mrenclave="aa",
    mrsigner="bb",
    size=1 << 34,
    build_us=900,
    created=1.5,
)
LEASE = LeaseRecord(
    id=4,
    enclave_id=3,
    compartment=1,
    compartment_file=FileIdentity(device=1, inode=78),
    container="ns/c",
    process_name="",
    threads=4,
    memory=1 << 30,
    build_us=0,
    parent_id=0,
    granted=2.5,
    pid=1234,
    start_time=987,
    channel=FileIdentity(device=9, inode=5),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def reopened(path: Path) -> Journal:
    journal = Journal(path)
    journal.close()
    return journal


def test_records_come_back(path: Path) -> None:
    journal = Journal(path)
    journal.add_lease(LEASE, ENCLAVE)
    journal.add_lease(replace(LEASE, id=5, channel=None), ENCLAVE)
    journal.add_pool("extra", {"compartments": 2})
    journal.close()
    for _ in range(2):  # as appended, and as compacted
        again = reopened(path)
        assert again.leases == {4: LEASE, 5: replace(LEASE, id=5, channel=None)}
        assert again.enclaves == {3: ENCLAVE}
        assert again.pools == {"extra": {"compartments": 2}}


def test_ended_leases_take_their_enclave_along(path: Path) -> None:
    journal = Journal(path)
    journal.add_lease(LEASE, ENCLAVE)
    journal.add_lease(replace(LEASE, id=5), ENCLAVE)
    journal.end_lease(4)
    assert journal.enclaves == {3: ENCLAVE}
    journal.end_lease(5)
    journal.end_lease(5)
    journal.add_pool("extra", {})
    journal.remove_pool("extra")
    journal.close()
    again = reopened(path)
    assert (again.leases, again.enclaves, again.pools) == ({}, {}, {})


def test_numbers_are_not_given_twice(path: Path) -> None:
    journal = Journal(path)
    assert [journal.next_id() for _ in range(3)] == [1, 2, 3]
    journal.add_lease(replace(LEASE, id=30), ENCLAVE)
    journal.close()
    again = reopened(path)
    assert again.next_id() == 31


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b'{"lease_end":4', id="cut by a crash"),
        pytest.param(b"not json\n", id="no JSON"),
        pytest.param(b"[]\n", id="no object"),
        pytest.param(b'{"lease":{"id":9}}\n', id="fields missing"),
        pytest.param(b'{"lease_end":4,"x":1}\n', id="two keys"),
        pytest.param(b'{"unheard_of":1}\n', id="unknown kind"),
        pytest.param(b"\xff\xfe\n", id="no text"),
        pytest.param(b'{"pool":{"name":"p","settings":3}}\n', id="pool without settings"),
    ],
)
def test_nonsense_is_skipped(path: Path, tail: bytes) -> None:
    journal = Journal(path)
    journal.add_lease(LEASE, ENCLAVE)
    journal.close()
    path.write_bytes(path.read_bytes() + tail)
    assert reopened(path).leases == {4: LEASE}


def test_file_stays_small(path: Path) -> None:
    journal = Journal(path)
    journal.add_lease(LEASE, ENCLAVE)
    for number in range(10, 3000):
        journal.add_lease(replace(LEASE, id=number), ENCLAVE)
        journal.end_lease(number)
    journal.close()
    assert len(path.read_bytes().splitlines()) < 1500
    assert reopened(path).leases == {4: LEASE}
    assert not path.with_suffix(".new").exists()


def test_every_line_is_json(path: Path) -> None:
    journal = Journal(path)
    journal.add_lease(replace(LEASE, container='odd "name"\u2028'), ENCLAVE)
    journal.close()
    for line in path.read_text().splitlines():
        json.loads(line)
    assert path.stat().st_mode & 0o777 == 0o600
