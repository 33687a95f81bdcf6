"""Log programs, out-of-memory notices and -info."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from protos.containerd import introspection_pb2, runc_options_pb2
from shim import log_binary
from shim.cgroup import Cgroup
from shim.info import FEATURES_TYPE, information
from shim.log_binary import LogBinary
from shim.oom import OomWatch
from shim.stdio import StdioError, open_stdio
from tests.harness.patience import PATIENCE

LOGGER = """#!/bin/sh
echo "$CONTAINER_NAMESPACE/$CONTAINER_ID $*" > {directory}/who
exec 5>&-
cat <&3 > {directory}/out
cat <&4 > {directory}/err
echo done > {directory}/done
"""


def logger(directory: Path, text: str = LOGGER) -> Path:
    path = directory / "logger"
    path.write_text(text.format(directory=directory))
    path.chmod(0o755)
    return path


async def until(path: Path) -> str:
    async with asyncio.timeout(PATIENCE):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)
    return path.read_text()


def test_a_log_program_gets_both_streams(tmp_path: Path) -> None:
    async def scenario() -> None:
        uri = f"binary://{logger(tmp_path)}?first=1&flag"
        stdio = await open_stdio(stdin="", stdout=uri, stderr=uri, container="c1", namespace="ns")
        await stdio.ready()
        os.write(stdio.inherit[1], b"to the output\n")
        os.write(stdio.inherit[2], b"to the errors\n")
        stdio.taken()
        await stdio.drain(timeout=PATIENCE)
        stdio.close()
        assert await until(tmp_path / "done") == "done\n"

    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(scenario())
    assert (tmp_path / "who").read_text() == "ns/c1 first 1 flag\n"
    assert (tmp_path / "out").read_text() == "to the output\n"
    assert (tmp_path / "err").read_text() == "to the errors\n"
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_log_program_that_is_missing(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(StdioError, match="cannot open"):
            uri = f"binary://{tmp_path}/missing"
            await open_stdio(stdin="", stdout=uri, stderr=uri, container="c", namespace="n")

    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(scenario())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_log_program_that_never_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_binary, "READY_SECONDS", 0.1)

    async def scenario() -> None:
        program = LogBinary(
            f"binary://{logger(tmp_path, '#!/bin/sh' + chr(10) + 'cat <&3')}", container="c", namespace="n"
        )
        with pytest.raises(TimeoutError):
            await program.ready()
        os.close(program.output)
        os.close(program.errors)

    asyncio.run(scenario())


def test_an_unknown_scheme_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(StdioError, match="gopher"):
            await open_stdio(stdin="", stdout="gopher://x", stderr="", container="c", namespace="n")

    asyncio.run(scenario())


def test_memory_kills_in_version_2(tmp_path: Path) -> None:
    """memory.events is rewritten by the kernel; a file that we rewrite looks the same to inotify."""
    events = tmp_path / "memory.events"
    events.write_text("oom 1\noom_kill 4\n")

    async def scenario() -> None:
        seen: list[int] = []
        watch = OomWatch(Cgroup(v1={}, v2=tmp_path), lambda: seen.append(1))
        with events.open("r+") as file:
            file.write("oom 2\noom_kill 4\n")
        await asyncio.sleep(0.1)
        assert not seen, "short of memory, and nobody killed"
        with events.open("r+") as file:
            file.write("oom 2\noom_kill 5\n")
        async with asyncio.timeout(PATIENCE):
            while not seen:
                await asyncio.sleep(0.01)
        watch.close()
        watch.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("version", [1, 2])
def test_a_memory_kill_is_noticed_before_the_loop_comes_to_it(tmp_path: Path, version: int) -> None:
    """The exit that it causes may come to the loop first."""
    (tmp_path / "memory.events").write_text("oom_kill 4\n")
    for name in ("memory.oom_control", "cgroup.event_control"):
        (tmp_path / name).touch()

    def happen() -> None:
        if version == 2:
            (tmp_path / "memory.events").write_text("oom_kill 5\n")
            return
        descriptor = int((tmp_path / "cgroup.event_control").read_text().split()[0])
        os.eventfd_write(descriptor, 1)

    async def scenario() -> None:
        seen: list[int] = []
        cgroup = Cgroup(v1={}, v2=tmp_path) if version == 2 else Cgroup(v1={"memory": tmp_path}, v2=None)
        watch = OomWatch(cgroup, lambda: seen.append(1))
        watch.look()
        assert not seen
        happen()
        watch.look()
        assert seen == [1]
        watch.look()
        await asyncio.sleep(0)
        assert seen == [1], "told once"
        watch.close()
        watch.look()

    asyncio.run(scenario())


@pytest.mark.parametrize("cgroup", [Cgroup(v1={}, v2=None), Cgroup(v1={}, v2=Path("/nonexistent")),
                                    Cgroup(v1={"memory": Path("/nonexistent")}, v2=None)])  # fmt: skip
def test_without_a_memory_controller_there_are_no_notices(cgroup: Cgroup) -> None:
    async def scenario() -> None:
        OomWatch(cgroup, lambda: None).close()

    asyncio.run(scenario())


def test_info(tmp_path: Path) -> None:
    delegate = tmp_path / "delegate"
    delegate.write_text('#!/bin/sh\necho \'{"ociVersionMax": "1.9"}\'\n')
    delegate.chmod(0o755)
    options = runc_options_pb2.Options(binary_name=str(delegate))
    given = Any(type_url="containerd.runc.v1.Options", value=options.SerializeToString())
    told = information(given.SerializeToString(), name="n", version="1", directory=tmp_path)
    info = introspection_pb2.RuntimeInfo.FromString(told)
    assert (info.name, info.version.version, info.options) == ("n", "1", given)
    assert (info.features.type_url, b"ociVersionMax" in info.features.value) == (FEATURES_TYPE, True)
    assert info.annotations["io.teemate.delegate"] == str(delegate)


def test_info_of_a_delegate_without_features(tmp_path: Path) -> None:
    options = runc_options_pb2.Options(binary_name="/bin/false")
    given = Any(type_url="containerd.runc.v1.Options", value=options.SerializeToString())
    told = information(given.SerializeToString(), name="n", version="1", directory=tmp_path)
    assert not introspection_pb2.RuntimeInfo.FromString(told).HasField("features")
