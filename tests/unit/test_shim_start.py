"""How a shim is called and where it listens."""

from __future__ import annotations

import hashlib
import json
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.containerd import runc_options_pb2, task_v2_pb2
from shim import action, address, remove
from shim.address import Address, group_of, listen
from shim.invocation import Invocation, UsageError
from shim.options_file import read_options, write_options


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where shims listen. Short, since the path of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.setattr(address, "SOCKET_DIRECTORY", Path(name) / "s")
        yield Path(name) / "s"


CONTAINERDS_WORDS = [
    "-namespace", "k8s.io", "-address", "/run/c.sock", "-publish-binary", "/usr/bin/containerd", "-id", "c1",
]  # fmt: skip


def parse(*words: str, environment: dict[str, str] | None = None) -> Invocation:
    return Invocation.parse(list(words), environment=environment or {}, working_directory=Path("/bundle"))


def test_containerds_command_line() -> None:
    environment = {"TTRPC_ADDRESS": "/run/c.sock.ttrpc"}
    seen = parse(*CONTAINERDS_WORDS, "-debug", "start", environment=environment)
    assert seen == Invocation(
        action="start",
        namespace="k8s.io",
        id="c1",
        grpc_address="/run/c.sock",
        bundle=Path("/bundle"),
        ttrpc_address="/run/c.sock.ttrpc",
        debug=True,
    )


def test_flags_may_have_two_dashes_and_an_equals_sign() -> None:
    seen = parse("--namespace=n", "--id=c", "-bundle=/b", "delete")
    assert (seen.namespace, seen.id, seen.bundle, seen.action) == ("n", "c", Path("/b"), "delete")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "unknown action"),
        (["start"], "-namespace"),
        (["-namespace", "n", "start"], "-id"),
        (["-namespace", "n", "-id"], "needs a value"),
        (["-namespace", "n", "-id", "c", "stop"], "unknown action 'stop'"),
        (["-nam", "n", "start"], "unknown flag -nam"),
        (["-namespace", "../etc", "-id", "c", "start"], "-namespace"),
        (["-namespace", "n", "-id", "..", "start"], "-id"),
        (["-namespace", "n", "-id", "a/b", "start"], "-id"),
        (["-namespace", "", "-id", "c", "start"], "-namespace"),
    ],
)
def test_bad_command_lines(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse(*words)
    outcome = action.perform(words, environment={}, directory=Path("/"))
    assert outcome.status == 2 and complaint in outcome.errors and not outcome.output


@pytest.mark.parametrize("word", ["-v", "-version", "--version"])
def test_version(word: str) -> None:
    outcome = action.perform([word], environment={}, directory=Path("/"))
    assert (outcome.status, outcome.output) == (0, b"containerd-shim-teemate-v2 0.1.0\n")


def test_the_address_is_containerds() -> None:
    """pkg/shim/util_unix.go: SocketAddress."""
    seen = Address.of(grpc_address="/run/containerd/containerd.sock", namespace="default", group="c1")
    digest = hashlib.sha256(b"/run/containerd/containerd.sock/default/c1").hexdigest()
    assert seen.uri == f"unix:///run/containerd/s/{digest}"
    assert len(str(seen.path)) < 107


@pytest.mark.parametrize(
    ("annotations", "group"),
    [
        ({}, "c1"),
        ({"io.kubernetes.cri.sandbox-id": "pod"}, "pod"),
        ({"io.containerd.runc.v2.group": "own", "io.kubernetes.cri.sandbox-id": "pod"}, "own"),
        ({"io.kubernetes.cri.sandbox-id": ""}, "c1"),
    ],
)
def test_a_pod_shares_a_shim(annotations: dict[str, str], group: str) -> None:
    assert group_of(annotations, "c1") == group


def test_listening(tmp_path: Path) -> None:
    place = Address(tmp_path / "s" / "x")
    listener = listen(place)
    assert listener is not None
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.path.parent.stat().st_mode) == 0o700
    assert place.answers()
    assert listen(place) is None, "a living shim keeps its socket"
    listener.close()
    assert not place.answers()
    again = listen(place)
    assert again is not None, "a dead one's is replaced"
    again.close()


def write_bundle(bundle: Path, config: object) -> None:
    bundle.mkdir()
    (bundle / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))


def perform_start(bundle: Path) -> action.Outcome:
    words = ["-namespace", "n", "-address", "/c.sock", "-id", "c1", "start"]
    return action.perform(words, environment={}, directory=bundle)


def test_start_prints_the_address_and_leaves_it_for_a_restarted_containerd(tmp_path: Path, sockets: Path) -> None:
    write_bundle(tmp_path / "b", {"annotations": None})
    first = perform_start(tmp_path / "b")
    assert first.service is not None and not first.errors
    assert (tmp_path / "b" / "address").read_bytes() == first.output
    second = perform_start(tmp_path / "b")
    assert second.service is None and second.output == first.output
    first.service.listener.close()


@pytest.mark.parametrize(
    "config", ["", "{", "[]", '{"annotations": []}', '{"annotations": "x"}', '{"annotations": {"a": 1}}']
)
def test_a_bundle_that_is_none(tmp_path: Path, config: str, sockets: Path) -> None:
    write_bundle(tmp_path / "b", config)
    outcome = perform_start(tmp_path / "b")
    assert outcome.status == 1 and "config.json" in outcome.errors and outcome.service is None
    assert not sockets.exists()


def test_no_bundle(tmp_path: Path) -> None:
    outcome = perform_start(tmp_path / "missing")
    assert outcome.status == 1 and "config.json" in outcome.errors


def test_options_survive_for_the_delete_action(tmp_path: Path) -> None:
    given = runc_options_pb2.Options(root="/r", binary_name="crun", systemd_cgroup=True)
    write_options(tmp_path, given)
    assert read_options(tmp_path) == given
    (tmp_path / "options.pb").write_bytes(b"\xff\xff\xff")
    assert read_options(tmp_path) == runc_options_pb2.Options()
    (tmp_path / "options.pb").unlink()
    assert read_options(tmp_path) == runc_options_pb2.Options()


def test_delete_without_a_container_may_run_twice(tmp_path: Path, sockets: Path) -> None:
    """It removes the socket of a dead shim, and reports the pid that the bundle remembers."""
    bundle = tmp_path / "b"
    write_bundle(bundle, {})
    write_options(bundle, runc_options_pb2.Options(root=str(tmp_path / "root")))
    (bundle / "init.pid").write_text("4242")
    started = perform_start(bundle)
    assert started.service is not None
    started.service.listener.close()
    for _ in range(2):
        words = ["-namespace", "n", "-address", "/c.sock", "-id", "c1", "-bundle", str(bundle), "delete"]
        outcome = action.perform(words, environment={}, directory=bundle)
        assert outcome.status == 0 and not outcome.errors
        response = task_v2_pb2.DeleteResponse.FromString(outcome.output)
        assert (response.pid, response.exit_status) == (4242, remove.KILLED)
        assert response.exited_at.seconds > 0
    assert not started.service.address.path.exists()


def test_delete_leaves_the_socket_of_a_living_shim(tmp_path: Path, sockets: Path) -> None:
    bundle = tmp_path / "b"
    write_bundle(bundle, {"annotations": {"io.kubernetes.cri.sandbox-id": "pod"}})
    write_options(bundle, runc_options_pb2.Options(root=str(tmp_path / "root")))
    started = perform_start(bundle)
    assert started.service is not None
    words = ["-namespace", "n", "-address", "/c.sock", "-id", "c1", "delete"]
    assert action.perform(words, environment={}, directory=bundle).status == 0
    assert started.service.address.answers()
    started.service.listener.close()
