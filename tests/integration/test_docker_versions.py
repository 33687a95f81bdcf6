"""docker 26 and later, which call a shim by its type: `docker run --runtime=io.containerd.teemate.v2`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.containerd import OWN_SHIM
from tests.harness.containerd_versions import VERSIONS, Unavailable
from tests.harness.docker import Docker
from tests.harness.images import image
from tests.integration.version_stage import Stage, stage_of


@pytest.fixture(
    scope="module", params=[version for version in VERSIONS if version.docker], ids=lambda each: each.docker
)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage_of(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def docker(stage: Stage) -> Iterator[Docker]:
    try:
        client, server = stage.version.docker_programs()
    except Unavailable as error:
        pytest.skip(str(error))
    running = Docker(
        directory=stage.stack.directory / "d",
        containerd=stage.containerd.socket,
        environment=stage.environment,
        pools=[],
        client=client,
        server=server,
    )
    try:
        running.start()
        running.check("load", "--quiet", f"--input={image('busybox').archive}")
        yield running
    finally:
        running.stop()


def life(docker: Docker, stage: Stage, runtime: str) -> dict[str, Any]:
    name = image("busybox").name
    seen: dict[str, Any] = {}
    options = (f"--runtime={runtime}", "--network=none")
    short = docker("run", "--rm", *options, name, "sh", "-c", "echo out; echo err >&2; exit 5")
    seen["run"] = (short.returncode, short.stdout, short.stderr)
    started = docker("run", "--detach", "--name=task", *options, name, "sleep", "1000")
    seen["start"] = (started.returncode, started.stderr)
    seen["leases"] = len(stage.stack.hostd.leases())
    done = docker("exec", "task", "sh", "-c", "echo in; exit 3")
    seen["exec"] = (done.returncode, done.stdout, done.stderr)
    seen["top"] = docker("top", "task", "-o", "pid").stdout.count(b"\n")
    stats = docker("stats", "--no-stream", "--format={{.Name}}", "task")
    seen["stats"] = (stats.returncode, stats.stdout)
    seen["pause"] = (docker("pause", "task").returncode, docker("unpause", "task").returncode)
    seen["kill"] = docker("kill", "task").returncode
    seen["wait"] = docker("wait", "task").stdout
    seen["remove"] = docker("rm", "task").returncode
    return seen


def test_a_containers_life_is_that_with_runc(docker: Docker, stage: Stage) -> None:
    with stage.checked():
        expected = life(docker, stage, "runc")
        assert expected["run"] == (5, b"out\n", b"err\n") and expected.pop("leases") == 0
        seen = life(docker, stage, OWN_SHIM)
        assert seen.pop("leases") == 1
        assert seen == expected


def test_pool_by_annotation(docker: Docker, stage: Stage) -> None:
    """docker has annotations since 25."""
    with stage.checked():
        options = (f"--runtime={OWN_SHIM}", "--network=none", "--annotation=io.teemate.pool=small")
        name = image("busybox").name
        assert docker("run", "--detach", "--name=task", *options, name, "sleep", "1000").returncode == 0
        assert [lease["pool"] for lease in stage.stack.hostd.leases()] == ["small"]
        assert docker("rm", "--force", "task").returncode == 0
        refused = docker("run", "--rm", *options[:2], "--annotation=io.teemate.pool=nowhere", name, "true")
        assert refused.returncode == 125 and b"nowhere" in refused.stderr
