"""What the shim takes from config.json, and what it makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protos.containerd import runc_options_pb2
from shim import bundle, runtime
from teemate_runtime.oci.failure import Failure


@pytest.mark.parametrize(
    ("namespaces", "shares"),
    [
        ([{"type": "mount"}, {"type": "pid"}], False),
        ([{"type": "pid", "path": ""}], False),
        ([{"type": "pid", "path": "/proc/5/ns/pid"}], True),
        ([{"type": "mount"}], True),
        (None, True),
    ],
)
def test_who_ends_with_init(namespaces: Any, shares: bool) -> None:
    document = {"linux": {} if namespaces is None else {"namespaces": namespaces}}
    assert bundle.shares_processes(document) is shares


@pytest.mark.parametrize(
    ("path", "systemd"),
    [
        ("kubepods-burstable-pod1.slice:cri-containerd:abc", True),
        ("system.slice:docker:abc", True),
        ("/kubepods/burstable/pod1/abc", False),
        ("/odd.slice:name:x", False),
        ("a:b", False),
        (None, False),
    ],
)
def test_cgroups_of_systemd_are_told_by_their_form(tmp_path: Path, path: str | None, systemd: bool) -> None:
    directory = tmp_path / "state" / "tasks" / "default" / "x"
    document = {"ociVersion": "1.1.0", "linux": {"cgroupsPath": path} if path else {}}
    context = runtime.context_of(
        namespace="default", bundle=directory, options=runc_options_pb2.Options(), document=document
    )
    assert ("--systemd-cgroup" in context.global_words()) is systemd


@pytest.mark.parametrize(
    ("version", "unified", "works"),
    [("1.0.2-dev", None, True), ("1.0.2-dev", "", True), ("1.0.2-dev", "cpu io", False), ("1.2.0", None, False)],
)
def test_where_crun_works(tmp_path: Path, version: str, unified: str | None, works: bool) -> None:
    if unified is not None:
        (tmp_path / "unified").mkdir()
        (tmp_path / "unified" / "cgroup.controllers").write_text(f"{unified}\n")
    assert runtime.crun_works(oci_version=version, cgroup_root=tmp_path) is works


@pytest.mark.parametrize("text", ["", "{", "[]", '{"annotations": []}', '{"annotations": {"a": 1}}'])
def test_what_is_not_a_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Failure, match=r"config\.json"):
        bundle.annotations_in(bundle.config(tmp_path))


def test_annotations(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"annotations": {"a": "b"}}))
    assert bundle.annotations_in(bundle.config(tmp_path)) == {"a": "b"}
    assert bundle.annotations_in({}) == {}
