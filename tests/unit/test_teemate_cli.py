"""teemate against a real gRPC server with made-up contents; doctor; the forms of output."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

from protos import host_pb2, host_pb2_grpc
from teemate_runtime.teemate import output, pool_view, process_view, records
from teemate_runtime.teemate.__main__ import COMMANDS, command
from teemate_runtime.teemate.checks import kernel, processor
from teemate_runtime.teemate.client import HostClient
from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.lazy_group import LazyGroup
from teemate_runtime.teemate.session import Session

CONTAINER = "moby/" + "0123456789abcdef" * 4


class MadeUpHost(host_pb2_grpc.HostServicer):
    def __init__(self) -> None:
        self.asked: list[Any] = []

    def GetHost(self, request: Any, context: Any) -> Any:
        return host_pb2.HostInfo(version="9", provider="software-model", process_id=os.getpid())

    def ListPools(self, request: Any, context: Any) -> Any:
        return host_pb2.ListPoolsResponse(pools=[self._pool()])

    def GetPool(self, request: Any, context: Any) -> Any:
        if request.name != "blue":
            context.abort(grpc.StatusCode.NOT_FOUND, f"no pool {request.name}; there is: blue")
        return self._pool()

    def CreatePool(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return self._pool()

    def ResizePool(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return self._pool()

    def ListEnclaves(self, request: Any, context: Any) -> Any:
        states = [host_pb2.Compartment(index=index, state=state) for index, state in enumerate(("free", "leased"))]
        enclave = host_pb2.Enclave(id=1, pool="blue", mrenclave="ab" * 32, build_us=1500, compartments=states)
        return host_pb2.ListEnclavesResponse(enclaves=[enclave])

    def ListLeases(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        lease = host_pb2.Lease(
            id=2**40, pool="blue", enclave_id=1, container=CONTAINER, process_id=os.getpid(), threads=4, state="bound"
        )
        lease.granted.FromSeconds(1_000_000_000)
        return host_pb2.ListLeasesResponse(leases=[lease])

    def WatchEvents(self, request: Any, context: Any) -> Iterator[Any]:
        self.asked.append(request)
        for number in (1, 2):
            yield host_pb2.Event(number=number, type="lease.ended", pool="blue", lease_id=7, container=CONTAINER)

    def _pool(self) -> Any:
        settings = host_pb2.PoolSettings(trust_domain="t", maximum=3, heap=host_pb2.HEAP_ON_DEMAND)
        return host_pb2.Pool(name="blue", settings=settings, memory=3 << 30, free=2, leased=1)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MadeUpHost, Path]]:
    directory = tmp_path_factory.mktemp("h")
    servicer = MadeUpHost()
    server = grpc.server(ThreadPoolExecutor(2))
    host_pb2_grpc.add_HostServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{directory}/host.sock")
    server.start()
    yield servicer, directory
    server.stop(None)


def teemate(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(command, ["--host", str(directory), *words])


@pytest.mark.parametrize("words", [["pool", "ls"], ["enclave", "ls"], ["lease", "ls"], ["ps"]])
def test_every_listing_has_three_forms(host: tuple[MadeUpHost, Path], words: list[str]) -> None:
    _, directory = host
    as_json = teemate(directory, *words, "-o", "json")
    as_yaml = teemate(directory, *words, "-o", "yaml")
    as_table = teemate(directory, *words)
    (entry,) = json.loads(as_json.output)
    assert yaml.safe_load(as_yaml.output) == [entry]
    head, row = as_table.output.splitlines()
    assert head.isupper() and "blue" in row and not row.endswith(" ")


def test_numbers_stay_numbers(host: tuple[MadeUpHost, Path]) -> None:
    (lease,) = json.loads(teemate(host[1], "lease", "ls", "-o", "json").output)
    assert lease["id"] == 2**40 and lease["granted"] == "2001-09-09T01:46:40.000Z" and lease["parent_id"] == 0
    (pool,) = json.loads(teemate(host[1], "pool", "ls", "-o", "json").output)
    assert pool["settings"]["heap"] == "on_demand" and pool["settings"]["dedicated"] is False


def test_tables_are_for_people(host: tuple[MadeUpHost, Path]) -> None:
    assert "moby/0123456789ab  " in teemate(host[1], "ps").output
    assert "3 GiB" in teemate(host[1], "pool", "ls").output
    assert "1.5 ms" in teemate(host[1], "enclave", "ls").output


def test_ps_asks_for_what_is_wanted(host: tuple[MadeUpHost, Path]) -> None:
    servicer, directory = host
    (entry,) = json.loads(teemate(directory, "ps", "--pool=p", "--container=c", "-o", "json").output)
    assert (servicer.asked[-1].pool, servicer.asked[-1].container) == ("p", "c")
    assert entry["pid"] == os.getpid() and "py" in entry["command"]


def test_create_and_resize_pass_only_what_was_given(host: tuple[MadeUpHost, Path]) -> None:
    servicer, directory = host
    done = teemate(
        directory, "pool", "create", "red", "--memory=64MiB", "--heap=unmeasured", "--ready=0", "--dedicated"
    )
    assert done.exit_code == 0, done.output
    settings = servicer.asked[-1].settings
    expected = host_pb2.PoolSettings(memory=64 << 20, heap=host_pb2.HEAP_UNMEASURED, ready=0, dedicated=True)
    assert settings == expected and settings.HasField("ready")
    assert teemate(directory, "pool", "resize", "red", "--ready=0").exit_code == 0
    assert servicer.asked[-1].HasField("ready") and not servicer.asked[-1].HasField("maximum")
    assert teemate(directory, "pool", "resize", "red").exit_code == 2


def test_events_are_one_line_each(host: tuple[MadeUpHost, Path]) -> None:
    servicer, directory = host
    done = teemate(directory, "events", "--no-follow", "--type=lease.ended", "--type=x", "-o", "json")
    assert [json.loads(line)["number"] for line in done.output.splitlines()] == [1, 2]
    assert list(servicer.asked[-1].types) == ["lease.ended", "x"] and not servicer.asked[-1].follow
    table = teemate(directory, "events", "--no-follow").output.splitlines()
    assert len(table) == 2 and "lease=7" in table[0] and "moby/0123456789ab" in table[0]
    assert len(list(yaml.safe_load_all(teemate(directory, "events", "--no-follow", "-o", "yaml").output))) == 2


def test_top_shows_pools_and_processes(host: tuple[MadeUpHost, Path]) -> None:
    done = teemate(host[1], "top", "--count=2", "--interval=0.1")
    assert done.exit_code == 0, done.output
    assert "software model: no confidentiality" in done.output and "CPU" in done.output


def test_top_tells_a_pipe_everything(host: tuple[MadeUpHost, Path]) -> None:
    """A pipe is not 80 columns wide, and each view is on lines of its own."""
    done = teemate(host[1], "top", "--count=2", "--interval=0.1")
    lines = done.output.splitlines()
    for columns in (pool_view.COLUMNS, process_view.COLUMNS):
        heads = [line for line in lines if line.startswith(columns[0].title)]
        assert len(heads) == 2 and all(column.title in heads[0] for column in columns)
    assert lines == [line.rstrip() for line in lines]
    assert not [line for line in lines if "…" in line]


@pytest.mark.parametrize("width", [80, 130])
@pytest.mark.parametrize("view", [pool_view, process_view])
def test_a_narrow_terminal_shows_fewer_columns_and_those_whole(
    host: tuple[MadeUpHost, Path], view: Any, width: int
) -> None:
    client = HostClient(Session(run_directory=host[1]))
    with client:
        message = client.pools()[0] if view is pool_view else client.leases()[0]
    rows = [view.row(message) | {"command": "program"}]
    console = Console(width=width, highlight=False, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(output.table(rows, view.COLUMNS, width=width))
    head, row = captured.get().splitlines()
    shown = output.fitting(rows, view.COLUMNS, width=width)
    assert (len(shown) < len(view.COLUMNS)) == (width == 80)
    assert head.split() == " ".join(column.title for column in shown).split()
    assert all(column.text(rows[0]) in row for column in shown)


def test_what_a_daemon_of_another_version_does_not_tell_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (output.Column(title="POOL", field="name"), output.Column(title="NEWS", field="news", form=output.size))
    output.show([{"name": "blue"}, {"name": "red", "news": 2048}], columns, form="table")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["POOL", "NEWS"],
        ["blue", "-"],
        ["red", "2", "KiB"],
    ]


def test_a_refusal_is_shown_as_it_is(host: tuple[MadeUpHost, Path]) -> None:
    done = teemate(host[1], "pool", "inspect", "green")
    assert done.exit_code == 1 and done.output == "Error: no pool green; there is: blue\n"


@pytest.mark.parametrize("words", [["pool", "ls"], ["ps"], ["events"], ["top"], ["pool", "delete", "x"]])
def test_no_daemon(tmp_path: Path, words: list[str]) -> None:
    done = teemate(tmp_path, *words)
    assert done.exit_code == 1
    assert f"{tmp_path}/host.sock" in done.output and "systemctl start teemate-hostd" in done.output


def test_unknown_command_names_the_nearest() -> None:
    done = CliRunner().invoke(command, ["pol", "ls"])
    assert done.exit_code == 1 and "did you mean `pool`?" in done.output


def all_commands() -> list[list[str]]:
    found = []
    for name in COMMANDS:
        found.append([name])
        group = command.get_command(None, name)  # type: ignore[arg-type]
        if isinstance(group, LazyGroup):
            found += [[name, inner] for inner in group.list_commands(None)]  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_explains_itself(words: list[str]) -> None:
    done = CliRunner().invoke(command, [*words, "--help"])
    assert done.exit_code == 0
    group = len(words) == 1 and "COMMAND" in done.output
    assert group or "Example" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = CliRunner().invoke(command, ["completion", shell])
    assert done.exit_code == 0 and "_TEEMATE_COMPLETE" in done.output


def test_doctor_says_it_loudly_and_fails_without_a_daemon(tmp_path: Path) -> None:
    done = teemate(tmp_path, "doctor", "-o", "json")
    assert done.exit_code == 1
    findings = {finding["subject"]: finding for finding in json.loads(done.output)}
    assert "NO CONFIDENTIALITY" in findings["Confidentiality"]["fact"]
    assert findings["teemate-hostd: gRPC socket"]["level"] == "lack"
    assert all(finding["cure"] for finding in findings.values() if finding["level"] != "ok")


def test_doctor_on_another_processor() -> None:
    levels = {
        finding.subject: finding.level for finding in (processor._sgx(frozenset()), processor._fsgsbase(frozenset()))
    }
    assert levels == {"CPU: SGX": "note", "CPU: FSGSBASE": "lack"}
    assert processor._sgx(frozenset({"sgx", "sgx_lc"})).level == "ok"
    assert kernel._memfd().level == "ok"


def test_doctor_says_how_to_install_the_kernel_module(tmp_path: Path) -> None:
    device = tmp_path / "teemate"
    absent = kernel._module(device)
    assert absent.level == "note" and "dkms install" in absent.cure
    device.touch()
    assert kernel._module(device).level == "ok"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1 << 20, "1 MiB"), (150 << 30, "150 GiB")]
)
def test_sizes_for_people(value: int, text: str) -> None:
    assert output.size(value) == text


def test_command_of_a_mate(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "cmdline").write_bytes(b"/dev/.teemate/mate\0--lease-fd=3\0--\0sqlite3\0a b\0")
    assert records.command_of(5, proc=tmp_path) == "sqlite3 a b"
    assert records.command_of(6, proc=tmp_path) == ""


def test_pools_are_completed(host: tuple[MadeUpHost, Path], tmp_path: Path) -> None:
    def completed(directory: Path) -> list[str]:
        root = command.make_context("teemate", ["--host", str(directory), "pool"], resilient_parsing=True)
        return pool_names(root, click.Argument(["name"]), "bl")

    assert completed(host[1]) == ["blue"]
    assert completed(tmp_path) == []
