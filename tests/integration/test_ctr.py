"""The same through containerd's own client and the stock runc.v2 shim, without docker."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.harness.paths import RUNC, RUNTIME
from tests.harness.process import wait_until
from tests.harness.stack import Stack

# ctr drops the output of a program that ends before it has begun to read, unless the shim waits for it.
ATTEMPTS = 5


def run(stack: Stack, image: str, name: str, *command: str, runtime: Path) -> CompletedProcess[str]:
    for _ in range(ATTEMPTS):
        done = stack.containerd.run(image, name, *command, runtime=runtime)
        if done.stdout or done.stderr:
            break
    return done


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("programs", ("/programs/musl-static/hello",)),
        ("programs", ("/programs/glibc-dynamic/hello",)),
        ("programs", ("/programs/glibc-dynamic/threads",)),
        ("programs", ("/programs/glibc-dynamic/exits", "status", "23")),
        ("busybox", ("sh", "-c", "echo $((6 * 7)); exit 5")),
        ("lua", ("lua5.4", "-e", "print(2^10)")),
        ("sqlite", ("sqlite3", ":memory:", "select 6 * 7")),
        ("perl", ("perl", "-e", "print 6 * 7")),
        ("python", ("python3", "-c", "import ssl, json; print(json.dumps([ssl.OPENSSL_VERSION]))")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].split("/")[-1],
)
def test_run(tidy: Stack, image: str, command: tuple[str, ...]) -> None:
    name = tidy.ctr_image(image)
    native = run(tidy, name, "native", *command, runtime=RUNC)
    seen = run(tidy, name, "protected", *command, runtime=RUNTIME)
    assert (seen.returncode, seen.stdout, seen.stderr) == (native.returncode, native.stdout, native.stderr)


def test_pool_by_annotation(tidy: Stack) -> None:
    name = tidy.ctr_image("busybox")
    options = ("--detach", "--annotation=io.teemate.pool=small")
    done = tidy.containerd.run(name, "annotated", "sleep", "1000", options=options)
    assert done.returncode == 0, done.stderr
    try:
        (lease,) = tidy.hostd.leases()
        assert lease["pool"] == "small"
    finally:
        tidy.containerd.ctr("tasks", "kill", "--signal=SIGKILL", "annotated")
        assert wait_until(lambda: "RUNNING" not in tidy.containerd.ctr("tasks", "ls").stdout)
        tidy.containerd.ctr("tasks", "delete", "annotated")
        tidy.containerd.ctr("containers", "delete", "annotated")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("io.teemate.pool=nowhere", ["nowhere"]),
        ("io.teemate.pool=../etc", ["../etc"]),
        ("io.teemate.poll=default", ["io.teemate.poll", "io.teemate.pool"]),
        ("io.teemate.threads=many", ["io.teemate.threads", "many"]),
        ("io.teemate.threads=100000", ["io.teemate.threads"]),
        ("io.teemate.memory=lots", ["io.teemate.memory", "lots"]),
        ("io.teemate.memory=900g", ["memory"]),
        ("io.teemate.wait=-1", ["io.teemate.wait"]),
        ("io.teemate.mate=/bin/sh", ["io.teemate.mate", "reserved"]),
    ],
)
def test_bad_annotations(tidy: Stack, annotation: str, words: list[str]) -> None:
    name = tidy.ctr_image("busybox")
    done = tidy.containerd.run(name, "refused", "true", options=(f"--annotation={annotation}",))
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr
