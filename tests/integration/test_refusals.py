"""Bad input: a clear error, a non-zero status, and nothing left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.bundle import Bundle
from tests.harness.docker import UNKNOWN_POOL
from tests.harness.paths import RUNTIME
from tests.harness.process import clean_environment, wait_until
from tests.harness.stack import Stack
from tests.integration.comparison import assert_same, protected

BROKEN = {
    "text": "",
    "empty": "",
    "magic-only": "",
    "truncated-header": "",
    "truncated-table": "",
    "truncated-body": "",
    "aarch64": "x86-64",
    "table-far-away": "",
    "too-many-headers": "",
    "wrong-header-size": "",
    "huge-memory": "",
    "address-wraps": "",
    "file-range-wraps": "",
    "interpreter-missing": "/no/such/ld.so",
    "bad-script": "/no/such/interpreter",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_programs(tidy: Stack, name: str) -> None:
    path = f"/programs/broken/{name}"
    seen = protected(tidy, "programs", (path,))
    assert seen.status in (126, 127) and seen.output == b""
    assert path.encode() in seen.errors and BROKEN[name].encode() in seen.errors


@pytest.mark.parametrize("name", ["hello", "hello-static"])
def test_program_that_is_not_position_independent(tidy: Stack, name: str) -> None:
    seen = protected(tidy, "programs", (f"/programs/not-pie/{name}",))
    assert seen.status == 126 and seen.output == b""
    assert f"/programs/not-pie/{name}".encode() in seen.errors
    assert b"position-independent" in seen.errors


@pytest.mark.parametrize(
    ("command", "status"),
    [(("/no/such/program",), 127), (("no-such-program",), 127), (("/etc/passwd",), 126), (("/etc",), 126)],
    ids=["path", "name", "not-executable", "directory"],
)
def test_what_cannot_be_started(tidy: Stack, command: tuple[str, ...], status: int) -> None:
    seen = protected(tidy, "programs", command)
    assert seen.status == status
    assert command[0].encode() in seen.errors


def test_many_arguments(tidy: Stack) -> None:
    """As many as Linux takes pass through; one that is longer than it takes is refused."""
    many = tuple(str(number) * 20 for number in range(2000))
    seen = assert_same(tidy, "programs", "/programs/glibc-dynamic/arguments", *many)
    assert seen.output.count(b"argv[") == 2001


def test_huge_argument(bundle: Bundle) -> None:
    """Too long for execve: the client's own kernel refuses it, so it goes in through config.json."""
    bundle.config["process"]["args"] = ["/programs/glibc-dynamic/hello", "x" * (4 << 20)]
    done = bundle.run("huge")
    assert done.returncode != 0 and done.stdout == ""
    assert "rgument" in done.stderr and "too long" in done.stderr.lower()


def test_unknown_pool(tidy: Stack) -> None:
    seen = protected(tidy, "busybox", ("true",), runtime=f"teemate-{UNKNOWN_POOL}")
    assert seen.status == 125
    assert UNKNOWN_POOL.encode() in seen.errors and b"default" in seen.errors


def test_full_pool(tidy: Stack) -> None:
    name = tidy.docker_image("busybox")
    words = ("run", "--detach", "--runtime=teemate-small", name, "sleep", "1000")
    holders = [tidy.docker.check(*words) for _ in range(2)]
    try:
        refused = protected(tidy, "busybox", ("true",), runtime="teemate-small")
        assert refused.status == 125
        for word in ("small", "2", "maximum", "compartments", *(holder[:12] for holder in holders)):
            assert word.encode() in refused.errors
        assert protected(tidy, "busybox", ("true",)).status == 0  # another pool is not affected
    finally:
        tidy.docker.check("rm", "--force", *holders)
    assert wait_until(lambda: protected(tidy, "busybox", ("true",), runtime="teemate-small").status == 0)


@pytest.fixture
def bundle(tidy: Stack) -> Iterator[Bundle]:
    made = Bundle(tidy)
    yield made
    assert made.containers() == []


def test_runtime_alone(bundle: Bundle) -> None:
    bundle.config["process"]["args"] = ["/programs/glibc-dynamic/hello"]
    done = bundle.run("alone")
    assert (done.returncode, done.stdout) == (0, "hello, world\n"), done.stderr


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 100000,
        b'{"ociVersion": "1.0.2"}',
        b'{"ociVersion": "1.0.2", "process": 5, "root": {"path": "rootfs"}}',
        b'{"ociVersion": "1.0.2", "process": {"args": "x", "cwd": "/"}, "root": {"path": "rootfs"}}',
        b'{"ociVersion": "1.0.2", "process": {"args": [], "cwd": "/"}, "root": {"path": "rootfs"}}',
        b'{"ociVersion": "1.0.2", "process": {"args": [7], "cwd": "/"}, "root": {"path": "rootfs"}}',
        b'{"ociVersion": "1.0.2", "process": {"args": ["x"], "cwd": "/"}, "annotations": {"io.teemate.pool": 3}}',
    ],
    ids=lambda text: text[:24].decode(errors="replace"),
)
def test_malformed_config(bundle: Bundle, text: bytes) -> None:
    done = bundle.run("malformed", text=text)
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr and "Traceback" not in done.stderr


def test_missing_bundle(tidy: Stack) -> None:
    done = subprocess.run(
        [RUNTIME, "run", "--bundle=/no/such/bundle", "x"],
        capture_output=True,
        text=True,
        env=clean_environment(tidy.runtime_environment),
    )
    assert done.returncode != 0
    assert "/no/such/bundle" in done.stderr and "Traceback" not in done.stderr


def test_daemon_down() -> None:
    """No lease, no start: and the message says what to start."""
    with Stack(with_hostd=False) as stack:
        name = stack.docker_image("busybox")
        done = stack.docker.run(name, "echo", "must not be seen")
        assert done.returncode == 125 and done.stdout == b""
        for word in ("attach.sock", "teemate-hostd", "TEEMATE_HOST"):
            assert word.encode() in done.stderr
        assert stack.docker.containers() == []


def test_more_memory_than_the_pool_gives(tidy: Stack) -> None:
    name = tidy.ctr_image("busybox")
    options = ("--annotation=io.teemate.pool=small", "--annotation=io.teemate.memory=2g")
    done = tidy.containerd.run(name, "greedy", "true", options=options)
    assert done.returncode != 0
    assert "memory" in done.stderr and "small" in done.stderr
