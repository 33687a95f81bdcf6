"""Parts of the bundle's edit that need no process: JSON, the mate's place, the attach client's bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from enclave_host import attach_protocol
from teemate_runtime.oci import annotation, attach, seccomp, spec, strict_json
from teemate_runtime.oci.failure import Failure
from tests.harness.paths import ROOT
from tests.harness.runtime import minimal_config

# What may not be imported on the way of a `state`, nor of a `create`: each costs milliseconds.
DEAR = {"argparse", "dataclasses", "enum", "json", "pathlib", "re", "socket", "subprocess", "typing"}


@pytest.mark.parametrize(
    "value",
    [{}, {"a": [1, -2, 3.5, True, None, "x\u00e9\U0001f600\n"]}, {"big": 2**64, "nested": {"": {}}}, {"n": 1e300}],
)
def test_json_survives(value: strict_json.Object) -> None:
    assert json.loads(strict_json.serialize(value)) == value
    assert strict_json.parse(json.dumps(value, indent=1).encode(), what="x") == value


def test_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "SIZE_LIMIT", 100)
    file = tmp_path / "f"
    file.write_bytes(b" " * 100)
    assert len(strict_json.read(str(file), what="f")) == 100
    file.write_bytes(b" " * 101)
    with pytest.raises(Failure, match="too large"):
        strict_json.read(str(file), what="f")


@pytest.mark.parametrize("command", ["main", "create", "run", "exec", "delete"])
def test_nothing_dear_is_imported(command: str) -> None:
    program = f"import sys; sys.path.append({str(ROOT)!r}); import teemate_runtime.oci.{command}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=True)
    assert not DEAR & set(done.stdout.split())


def test_attach_client_and_protocol_agree() -> None:
    request = attach_protocol.AttachRequest(
        pool="p",
        container="ns/c",
        process="x",
        threads=3,
        memory=4096,
        wait_ms=9,
        flags=attach_protocol.RequestFlag.WAIT,
    )
    assert attach._REQUEST.pack(3, attach.WAIT, 4096, 9, 0, b"p", b"ns/c", b"x") == request.pack()
    assert attach._BIND.pack(7, 8, 0) == attach_protocol.AttachBind(7, 8).pack()
    assert attach.GRANTED.unpack(attach_protocol.AttachGranted(5, 6).pack()) == (5, 6)
    assert (attach.REQUEST, attach.BIND, attach.RELEASE) == (1, 2, 3)
    kinds = attach_protocol.AttachType
    assert (kinds(attach.RELEASE), kinds(attach.USAGE)) == (kinds.RELEASE, kinds.USAGE)
    written = attach_protocol.AttachUsage(*range(1, 9))
    usage = attach.Usage(written.pack())
    assert all(getattr(usage, name) == getattr(written, name) for name in attach.Usage.__slots__)
    head = attach.HEAD.pack(attach.MAGIC, attach.VERSION, attach.BIND, 16, 0)
    assert head == attach_protocol.Message(attach_protocol.AttachType.BIND).pack()
    assert attach.MESSAGE_MAX == attach_protocol.ATTACH_MESSAGE_MAX
    assert attach.DESCRIPTORS_MAX >= attach_protocol.DESCRIPTORS_MAX


def test_the_last_mount_on_dev_decides(tmp_path: Path) -> None:
    mate = tmp_path / "mate"
    mate.touch(mode=0o755)
    config = minimal_config()
    config["mounts"].append({"destination": "/dev/", "type": "bind", "source": "/dev"})
    spec.edit(config, mate=str(mate), lease_descriptor=3, pool="p")
    assert config["process"]["args"][0] == "/.teemate/mate"
    assert config["mounts"][-1]["destination"] == "/.teemate/mate"


def test_a_missing_mate_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="mate is missing"):
        spec.edit(minimal_config(), mate=str(tmp_path / "mate"), lease_descriptor=3, pool="p")


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("64k", 65536), ("1G", 1 << 30), ("2MiB", 2 << 20), ("0", 0)]
)
def test_memory_annotation(text: str, size: int) -> None:
    assert annotation._memory({annotation.MEMORY: text}) == size


def allowing(names: list[str]) -> dict[str, object]:
    rule = {"names": names, "action": "SCMP_ACT_ALLOW"}
    return {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}}}


def test_seccomp_profile_is_judged_not_changed() -> None:
    config = allowing(list(seccomp._NEEDED))
    before = json.dumps(config)
    seccomp.check(config)  # type: ignore[arg-type]
    assert json.dumps(config) == before
    with pytest.raises(Failure, match="prctl"):
        seccomp.check(allowing([name for name in seccomp._NEEDED if name != "prctl"]))  # type: ignore[arg-type]


def test_seccomp_deny_list() -> None:
    rule = {"names": ["clone", "ptrace"], "action": "SCMP_ACT_ERRNO"}
    config = {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}}}
    with pytest.raises(Failure, match="denies clone,"[:-1]):
        seccomp.check(config)  # type: ignore[arg-type]
