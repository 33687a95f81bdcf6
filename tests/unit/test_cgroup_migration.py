"""The grace period before a process can be moved between control groups: begun by who expects a container."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from enclave_host import cgroup_migration
from enclave_host.attach_client import AttachClient
from enclave_host.cgroup_migration import MigrationAhead, own_groups, pass_grace_period
from tests.unit.lease_asking import ask, running_host

V1 = "4:name=systemd:/init\n3:cpu,cpuacct:/work\n2:pids:/work/deep\n"
HYBRID = V1 + "0::/system.slice/x\n"
V2 = "0::/system.slice/x\n"


@pytest.mark.parametrize(
    ("membership", "groups"),
    [
        (V1, ["systemd/init", "cpu,cpuacct/work", "pids/work/deep"]),
        (HYBRID, ["systemd/init", "cpu,cpuacct/work", "pids/work/deep", "system.slice/x", "unified/system.slice/x"]),
        (V2, ["system.slice/x", "unified/system.slice/x"]),
        ("0::/\n", ["", "unified"]),
    ],
    ids=["v1", "hybrid", "v2", "v2 root"],
)
def test_own_groups_are_found(membership: str, groups: list[str]) -> None:
    assert list(own_groups(membership, Path("/c"))) == [Path("/c") / group for group in groups]


def test_this_process_has_a_group_and_is_not_moved() -> None:
    before = Path("/proc/self/cgroup").read_text()
    files = [group / "cgroup.procs" for group in own_groups(before)]
    first = next(file for file in files if file.exists())
    assert str(os.getpid()) in first.read_text().split()
    if not os.access(first, os.W_OK):
        pytest.skip("not root: this process may not write to its control groups")
    pass_grace_period()
    assert Path("/proc/self/cgroup").read_text() == before


def test_only_the_group_where_this_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that is absent, nor one that only has its name: in a cgroup namespace both occur."""
    groups = [tmp_path / name for name in ("absent", "of others", "ours", "later")]
    members = {"of others": f"1\n1{os.getpid()}\n", "ours": f"1\n{os.getpid()}\n", "later": f"{os.getpid()}\n"}
    for group in groups[1:]:
        group.mkdir()
        (group / "cgroup.procs").write_text(members[group.name])
    monkeypatch.setattr(cgroup_migration, "own_groups", lambda _: iter(groups))
    pass_grace_period()
    assert {group.name: (group / "cgroup.procs").read_text() for group in groups[1:]} == members | {
        "ours": members["ours"] + "0"
    }


def test_a_request_for_a_lease_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[None] = []
    monkeypatch.setattr(cgroup_migration, "pass_grace_period", lambda: passed.append(None))
    with running_host(tmp_path) as host, AttachClient(host.run_directory) as client:
        assert not passed
        client.request(ask()).close()
        host.wait_until(lambda _: bool(passed))


def test_one_at_a_time_and_a_failure_is_told_only_to_who_debugs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passed: list[None] = []

    def fail() -> None:
        passed.append(None)
        raise PermissionError("read-only")

    monkeypatch.setattr(cgroup_migration, "pass_grace_period", fail)

    async def expect_thrice() -> None:
        ahead = MigrationAhead()
        ahead.expect()
        ahead.expect()
        await asyncio.get_running_loop().shutdown_default_executor()

    caplog.set_level("DEBUG", logger=cgroup_migration.__name__)
    asyncio.run(expect_thrice())
    assert len(passed) == 1
    assert "read-only" in caplog.text
