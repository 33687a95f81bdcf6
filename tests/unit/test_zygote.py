"""The zygote and its fronts when something goes wrong: a call is answered, made cold, or refused, never half made."""

from __future__ import annotations

import array
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.paths import PYTHON
from tests.harness.patience import PATIENCE
from tests.harness.process import all_processes, wait_until
from tests.harness.runtime import RuntimeUnderTest
from zygote import protocol

COLD = 99  # the status of the cold fallback that RuntimeUnderTest installs beside the front


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[RuntimeUnderTest]:
    under_test = RuntimeUnderTest(tmp_path, zygote=True)
    yield under_test
    under_test.close()


def socket_of(runtime: RuntimeUnderTest) -> Path:
    assert runtime.zygote
    return runtime.zygote.path


def children_of(runtime: RuntimeUnderTest) -> list[int]:
    assert runtime.zygote
    pid = runtime.zygote.process.pid
    processes = all_processes().values()
    return [info.pid for info in processes if (info.parent, info.name) == (pid, "teemate-call") and info.state != "Z"]


def stop(runtime: RuntimeUnderTest) -> list[int]:
    """Keep the zygote and the child that waits for the next call from running; their process ids."""
    assert runtime.zygote
    pid = runtime.zygote.process.pid

    def spares() -> list[int]:
        return [info.pid for info in all_processes().values() if (info.parent, info.name) == (pid, "teemate-spare")]

    assert wait_until(lambda: len(spares()) == 1)
    stopped = [pid, *spares()]
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    return stopped


def config_is_edited(runtime: RuntimeUnderTest) -> bool:
    return b"--lease-fd" in (runtime.bundle / "config.json").read_bytes()


def test_python_and_c_agree_on_the_protocol(runtime: RuntimeUnderTest) -> None:
    """protocol.h as the compiler sees it."""
    names = ["CALL", "FAILED", "ENDED", "STREAMS", "TAKEN", "COLD", "EXEC", "SPAWN", "DONE"]
    expressions = [
        "PROTOCOL_MAGIC",
        "PROTOCOL_VERSION",
        "CALL_BYTES_MAX",
        "ORDER_BYTES_MAX",
        "ORDER_DESCRIPTORS_MAX",
        "PROGRAM_SHIM",
        "PROGRAM_RUNTIME",
        "sizeof(struct message_call)",
        "sizeof(struct message_number)",
        "sizeof(struct message_order)",
        *(f"MESSAGE_{name}" for name in names),
    ]
    header = Path(protocol.__file__).parent / "front" / "protocol.h"
    prints = "".join(f'printf("%ld\\n", (long)({expression}));' for expression in expressions)
    source = f'#include <stdio.h>\n#include "{header}"\nint main(void) {{ {prints} return 0; }}\n'
    program = runtime.directory / "print"
    subprocess.run(["gcc", "-xc", "-", "-o", program], input=source, text=True, check=True)
    seen = [int(line) for line in subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()]
    assert seen == [
        protocol.MAGIC,
        protocol.VERSION,
        protocol.CALL_BYTES_MAX,
        protocol.ORDER_BYTES_MAX,
        protocol.ORDER_DESCRIPTORS_MAX,
        protocol.PROGRAMS["shim"],
        protocol.PROGRAMS["runtime"],
        protocol._CALL.size,
        protocol._NUMBER.size,
        protocol._ORDER.size,
        *(getattr(protocol, name) for name in names),
    ]


def test_without_a_zygote_the_call_is_made_cold(runtime: RuntimeUnderTest) -> None:
    assert runtime.zygote
    runtime.zygote.kill()
    assert runtime.create().returncode == COLD
    runtime.make_cold_fallback_work()
    assert runtime.create().returncode == 0
    assert runtime.host.wait_bound(1)


def test_a_stuck_zygote_is_given_up_and_takes_nothing_later(runtime: RuntimeUnderTest) -> None:
    stopped = stop(runtime)
    assert runtime.create().returncode == COLD
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert runtime.create().returncode == 0
    assert len(runtime.calls("create")) == 1


def test_a_call_that_does_not_fit_is_made_cold(runtime: RuntimeUnderTest) -> None:
    runtime.environment["LONG"] = "x" * (protocol.CALL_BYTES_MAX - 100)
    assert runtime.create().returncode == COLD


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_caller_without_standard_streams_is_served_cold(runtime: RuntimeUnderTest, stream: int) -> None:
    redirection = f"{stream}>&-"
    script = f'exec "$@" {redirection}'
    command = ["sh", "-c", script, "sh", *runtime.command("create", "--bundle", runtime.bundle, "c1")]
    assert subprocess.run(command, env=runtime.full_environment(), capture_output=True).returncode == COLD


@pytest.mark.skipif(os.geteuid() != 0, reason="another mount namespace needs root")
def test_a_caller_of_another_world_is_served_cold(runtime: RuntimeUnderTest) -> None:
    command = ["unshare", "--mount", *runtime.command("create", "--bundle", runtime.bundle, "c1")]
    assert subprocess.run(command, env=runtime.full_environment(), capture_output=True).returncode == COLD
    command[1] = "--net"
    assert subprocess.run(command, env=runtime.full_environment(), capture_output=True).returncode == COLD


def test_a_zygote_with_less_rights_than_the_caller_declines(runtime: RuntimeUnderTest) -> None:
    """A confined zygote would do for the caller what it cannot do."""
    command = ["setpriv", "--no-new-privs", *runtime.command("create", "--bundle", runtime.bundle, "c1")]
    assert subprocess.run(command, env=runtime.full_environment(), capture_output=True).returncode == COLD


def test_a_child_killed_in_the_middle_is_reported_and_leaks_nothing(runtime: RuntimeUnderTest) -> None:
    hold = runtime.directory / "hold-create"
    hold.touch()
    front = runtime.start("create", "--bundle", runtime.bundle, "c1")
    assert wait_until(lambda: bool(runtime.calls("create")))
    (child,) = children_of(runtime)
    os.kill(child, signal.SIGKILL)
    hold.unlink()
    _, errors = front.communicate(timeout=PATIENCE)
    assert front.returncode == 1 and "the zygote ended in the middle" in errors
    assert runtime.host.wait_nothing_held() and not runtime.host.bindings
    assert config_is_edited(runtime)
    before = runtime.calls("create")[0]["config"]
    assert runtime.create().returncode == 0
    assert not config_is_edited(runtime)
    assert runtime.calls("create")[1]["config"] == before


def test_a_front_killed_in_the_middle_takes_its_child_along(runtime: RuntimeUnderTest) -> None:
    """The lease stays with the delegate, which may still carry it into a container."""
    hold = runtime.directory / "hold-create"
    hold.touch()
    front = runtime.start("create", "--bundle", runtime.bundle, "c1")
    assert wait_until(lambda: bool(runtime.calls("create")))
    front.kill()
    front.wait()
    assert wait_until(lambda: not children_of(runtime))
    assert runtime.host.held
    hold.unlink()
    assert runtime.host.wait_nothing_held()
    assert runtime.create().returncode == 0
    assert not config_is_edited(runtime)


def test_signals_to_the_front_reach_the_delegate(runtime: RuntimeUnderTest) -> None:
    (runtime.directory / "hold-create").touch()
    front = runtime.start("create", "--bundle", runtime.bundle, "c1")
    assert wait_until(lambda: bool(runtime.calls("create")))
    front.send_signal(signal.SIGTERM)
    front.communicate(timeout=PATIENCE)
    assert front.returncode == 128 + signal.SIGTERM
    assert not config_is_edited(runtime)
    assert runtime.host.wait_nothing_held()


def test_killing_the_zygote_does_not_touch_a_call_under_way(runtime: RuntimeUnderTest) -> None:
    hold = runtime.directory / "hold-create"
    hold.touch()
    front = runtime.start("create", "--bundle", runtime.bundle, "c1")
    assert wait_until(lambda: bool(runtime.calls("create")))
    assert runtime.zygote
    runtime.zygote.kill()
    hold.unlink()
    front.communicate(timeout=PATIENCE)
    assert front.returncode == 0
    assert runtime.host.wait_bound(1)


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(PATIENCE)
    connection.connect(str(path))
    return connection


def _send(connection: socket.socket, packet: bytes, descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    numbers = array.array("i", [null] * descriptors)
    try:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if descriptors else []
        connection.sendmsg([packet], control)
    finally:
        os.close(null)


def _call(*, magic: int = protocol.MAGIC, version: int = protocol.VERSION, kind: int = protocol.CALL, program: int = 2,
          variables: int = 1, arguments: int = 1, strings: bytes = b"/\0A=1\0--version\0") -> bytes:  # fmt: skip
    return struct.pack("<IHHIIII", magic, version, kind, program, 0o22, variables, arguments) + strings


MALFORMED = {
    "empty": b"",
    "short": b"TMZG",
    "foreign magic": _call(magic=1),
    "newer version": _call(version=protocol.VERSION + 1),
    "an answer": _call(kind=protocol.DONE),
    "more variables than strings": _call(variables=1 << 31),
    "more arguments than strings": _call(arguments=(1 << 32) - 1),
    "fewer than strings": _call(arguments=0),
    "no final NUL": _call(strings=b"/\0A=1\0--version"),
    "no strings": _call(strings=b""),
    "the largest": _call(strings=b"\0" * 100_000),
}


@pytest.mark.parametrize("descriptors", [0, 40])
def test_malformed_calls_end_their_own_child_only(runtime: RuntimeUnderTest, descriptors: int) -> None:
    for name, packet in MALFORMED.items():
        with _connect(socket_of(runtime)) as connection:
            _send(connection, packet, descriptors)
            assert connection.recv(100) == b"", name
    assert wait_until(lambda: not children_of(runtime))
    assert runtime.create().returncode == 0


@pytest.mark.parametrize("descriptors", [0, 2, 40])
def test_a_call_without_its_streams_ends_its_own_child_only(runtime: RuntimeUnderTest, descriptors: int) -> None:
    with _connect(socket_of(runtime)) as connection:
        _send(connection, _call(), 0)
        assert struct.unpack("<IHH", connection.recv(100))[2] == protocol.TAKEN
        _send(connection, struct.pack("<IHH", protocol.MAGIC, protocol.VERSION, protocol.STREAMS), descriptors)
        assert connection.recv(100) == b""
    assert runtime.create().returncode == 0


def test_a_call_for_the_other_program_is_declined(runtime: RuntimeUnderTest) -> None:
    with _connect(socket_of(runtime)) as connection:
        _send(connection, _call(program=1), 0)
        assert struct.unpack("<IHH", connection.recv(100))[2] == protocol.COLD


def test_random_packets(runtime: RuntimeUnderTest) -> None:
    random_source = random.Random(20241117)
    good = _call()
    for _ in range(100):
        packet = bytearray(good)
        for _ in range(random_source.randrange(1, 5)):
            packet[random_source.randrange(len(packet))] = random_source.randrange(256)
        with _connect(socket_of(runtime)) as connection:
            _send(
                connection, bytes(packet[: random_source.randrange(1, len(packet) + 1)]), random_source.choice([0, 3])
            )
    assert wait_until(lambda: not children_of(runtime))
    assert runtime.create().returncode == 0


def test_as_a_service_it_has_no_keeper(tmp_path: Path) -> None:
    """Standard input is /dev/null then, which never ends in the sense that counts."""
    path = tmp_path / "zygote-runtime.sock"
    command = [sys.executable, "-I", "-m", "zygote", "runtime", str(path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            assert wait_until(path.exists)
            for _ in range(2):
                with _connect(path) as connection:
                    _send(connection, _call(program=1), 0)
                    assert struct.unpack("<IHH", connection.recv(100))[2] == protocol.COLD
            assert process.poll() is None
        finally:
            process.terminate()


def test_it_ends_with_its_keeper(runtime: RuntimeUnderTest) -> None:
    assert runtime.zygote
    assert runtime.zygote.close() == 0
    assert runtime.create().returncode == COLD


@pytest.mark.parametrize("answer", [b"", b"TMZG", struct.pack("<IHH", protocol.MAGIC, 9, protocol.TAKEN)])
def test_a_listener_that_is_no_zygote_is_left_alone(tmp_path: Path, answer: bytes) -> None:
    runtime = RuntimeUnderTest(tmp_path, zygote=True)
    assert runtime.zygote
    runtime.zygote.close()
    path = runtime.zygote.path
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        front = runtime.start("create", "--bundle", runtime.bundle, "c1")
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 18)
            if answer:
                connection.send(answer)
        front.communicate(timeout=PATIENCE)
    assert front.returncode == COLD
    runtime.host.close()


def test_orders_that_lie_are_not_obeyed(tmp_path: Path) -> None:
    """Whoever listens there is of our own user; all the same a broken one must not make the front run off."""
    runtime = RuntimeUnderTest(tmp_path, zygote=True)
    assert runtime.zygote
    runtime.zygote.close()
    path = runtime.zygote.path
    path.unlink()
    head = struct.pack("<IHH", protocol.MAGIC, protocol.VERSION, protocol.SPAWN)
    targets = struct.pack("<16i", *([-1] * 16))
    orders = [
        head,
        head + struct.pack("<II", 1, 0) + targets + b"/bin/true\0",  # an argument is missing
        head + struct.pack("<II", 1, 3) + targets + b"/bin/true\0true\0",  # three descriptors that are not there
        head + struct.pack("<II", 1 << 31, 0) + targets + b"/bin/true\0true\0",
        head + struct.pack("<II", 0, 0) + targets + b"/bin/true\0",
        head + struct.pack("<II", 1, 0) + targets + b"/bin/true\0true",
        head + struct.pack("<II", 1, 0) + targets + b"/nonexistent\0x\0",
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        front = runtime.start("create", "--bundle", runtime.bundle, "c1")
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 18)
            protocol.send_plain(connection, protocol.TAKEN)
            assert len(connection.recv(100)) == 8  # the streams
            for order in orders:
                connection.send(order)
                kind, number = protocol.receive_report(connection)
                assert kind == protocol.FAILED and number > 0, order
            protocol.send_done(connection, 42)
        front.communicate(timeout=PATIENCE)
    assert front.returncode == 42
    runtime.host.close()


@pytest.mark.parametrize("program", ["runtime", "shim"])
def test_a_zygote_that_is_told_to_end_in_its_rehearsal_leaves_nothing(tmp_path: Path, program: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / "zygote.sock"
    command = [PYTHON, "-I", "-m", "zygote", program, path]

    def rehearses_or_serves() -> bool:
        rehearsals = scratch.glob("teemate-rehearsal-*")
        return any((each / "config.json").exists() for each in rehearsals) or path.exists()

    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": str(scratch)}) as zygote:
        assert wait_until(rehearses_or_serves, every=0.001)
        zygote.terminate()
        zygote.wait(PATIENCE)
    assert wait_until(lambda: not any(scratch.glob("teemate-rehearsal-*")))
