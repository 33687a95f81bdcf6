"""The model shim, from which the memory template learns what a shim at rest looks like.

It is a spare child like any other, which takes a call like any other: from a driver, which stands in for containerd,
with a container of no consequence and a delegate that does nothing.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos.containerd import runc_options_pb2, task_v2_pb2, ttrpc_events_pb2
from shim import events
from shim.action import RUNTIME_NAME
from shim.address import Address
from shim.service import OPTIONS_TYPE, SERVICE_NAMES
from shim.ttrpc.client import Client
from shim.ttrpc.server import Method, Server
from shim.ttrpc.status import StatusError
from zygote import rehearsal
from zygote.child import set_name
from zygote.memory import LESSON_SECONDS, MemoryTemplate, TemplateError
from zygote.program import ServeNext
from zygote.protocol import PROGRAMS, ProtocolError, finish_call, send_call

_ID = "model"
_NAMESPACE = "teemate-model"
# Its container is started as runc's are (shim/runc_state.py), reads a FIFO that the driver has open, and so ends with
# the driver.
_DELEGATE = """#!/bin/sh
for word; do
    case $word in
    --pid-file=*) file=${word#*=} ;;
    --root=*) root=${word#*=} ;;
    create) create=yes ;;
    esac
done
test "$create" || exit 0
cd "$root/$word"
echo '{"config": {"Hooks": {"poststart": null}}, "cgroup_paths": {"cpu": "/sys/fs/cgroup/cpu/model"}}' >state.json
{ printf 0 >exec.fifo; exec cat <"${0%/*}/hold"; } >/dev/null &
echo $! >"$file"
"""
_FIFOS = ("hold", "in", "out", "err")
_CONFIG = {
    "ociVersion": "1.0.2",
    "process": {"args": ["/bin/true"], "cwd": "/", "env": ["A=1"], "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "mounts": [
        {"destination": f"/{name}", "type": kind, "source": kind, "options": ["nosuid", "noexec", "nodev"]}
        for name, kind in (
            ("proc", "proc"),
            ("dev", "tmpfs"),
            ("dev/pts", "devpts"),
            ("dev/shm", "tmpfs"),
            ("dev/mqueue", "mqueue"),
            ("sys", "sysfs"),
            ("run", "tmpfs"),
        )
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
    },
}


def make_template(memory: MemoryTemplate, listen: Callable[[Path], socket.socket], serve_next: ServeNext) -> list[int]:
    """Install the template and let it learn; the pages that a shim writes to. Raises TemplateError."""
    ours, drivers = socket.socketpair()
    directory = Path(tempfile.mkdtemp(prefix="teemate-model-"))
    # The driver must not have the template mapped when its content changes: it is forked before.
    _fork_driver(directory, drivers, ours)
    with ours:
        memory.install()
        with listen(directory / "zygote.sock") as listener:
            for _ in range(rehearsal.TIMES):
                _serve_nothing(directory / "zygote.sock", lambda: serve_next(listener))
            return memory.learn(
                lambda: serve_next(listener, ours),
                ours,
                is_waiting=lambda: ours.send(b"\0"),
                is_teachable=(directory / "ready").exists,
            )


def _serve_nothing(path: Path, serve_next: Callable[[], bool]) -> None:
    """Let a child decline a call that is of no program: forking, too, is code that is rewritten while it is new."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as front:
        front.connect(str(path))
        send_call(front, 0, directory=path.parent, environment={}, arguments=[])
        serve_next()


def _fork_driver(directory: Path, keeper: socket.socket, zygotes: socket.socket) -> None:
    with keeper:
        try:
            child = os.fork()
        except OSError as error:
            shutil.rmtree(directory)
            raise TemplateError(f"cannot fork: {error}") from error
        if child:
            return
        try:
            zygotes.close()
            set_name(b"teemate-driver")
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it has made it removes
            asyncio.run(_Driver(directory, keeper).drive())
        except BaseException as error:
            print(f"teemate-zygote: the model's driver: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            os._exit(0)


class _Driver:
    def __init__(self, directory: Path, keeper: socket.socket) -> None:
        self._directory = directory
        self._keeper = keeper
        keeper.setblocking(False)
        self._bundle = directory / "state" / "tasks" / _NAMESPACE / _ID
        self._containerd = directory / "c.sock"

    async def drive(self) -> None:
        """Until the zygote closes its end of the keeper. Raises what goes wrong."""
        loop = asyncio.get_running_loop()
        self._lay_out()
        address = Address.of(grpc_address=str(self._containerd), namespace=_NAMESPACE, group=_ID)
        server = Server({events.SERVICE: {"Forward": Method(ttrpc_events_pb2.ForwardRequest, _take_event)}})
        loop.add_reader(leases := _listen_for_leases(self._directory / "attach.sock"), _serve_lease, leases)
        try:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(f"{self._containerd}.ttrpc")
            await server.start(listener)
            if not await loop.sock_recv(self._keeper, 1):
                return
            # In a thread, since what is called connects back to the events' server.
            await loop.run_in_executor(None, self._call_start)
            client = await Client.connect(str(address.path))
            container = asyncio.create_task(self._start_container(client))
            released = asyncio.create_task(loop.sock_recv(self._keeper, 1))
            await asyncio.wait((container, released), return_when=asyncio.FIRST_COMPLETED)
            if container.done():
                container.result()
            await released
            await client.close()
        finally:
            address.path.unlink(missing_ok=True)

    def _lay_out(self) -> None:
        """The FIFOs stay open until this process ends: who opens one while its folder goes must not wait for ever."""
        self._bundle.mkdir(parents=True)
        (self._bundle / "config.json").write_text(json.dumps(_CONFIG))
        (self._directory / "delegate").write_text(_DELEGATE)
        (self._directory / "delegate").chmod(0o700)
        (self._directory / "runtime.yaml").write_text("pool: default\n")
        container = self._directory / "root" / _NAMESPACE / _ID
        container.mkdir(parents=True)
        for fifo in (*(self._directory / name for name in _FIFOS), container / "exec.fifo"):
            os.mkfifo(fifo)
            os.open(fifo, os.O_RDWR | os.O_CLOEXEC)

    def _call_start(self) -> None:
        words = ["-namespace", _NAMESPACE, "-address", str(self._containerd), "-id", _ID, "start"]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "TTRPC_ADDRESS": f"{self._containerd}.ttrpc",
            "TEEMATE_HOST": str(self._directory),
            "TEEMATE_RUNTIME_CONFIG": str(self._directory / "runtime.yaml"),
        }
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as front,
            Path(os.devnull).open("r+b") as null,
        ):
            front.settimeout(LESSON_SECONDS)
            front.connect(str(self._directory / "zygote.sock"))
            send_call(front, PROGRAMS["shim"], directory=self._bundle, environment=environment, arguments=words)
            status = finish_call(front, [null.fileno()] * 3)
        if status:
            raise ProtocolError(f"{RUNTIME_NAME} start ended with status {status}")

    async def _start_container(self, client: Client) -> None:
        pb = task_v2_pb2
        options = runc_options_pb2.Options(
            binary_name=str(self._directory / "delegate"), root=str(self._directory / "root")
        )
        stdin, stdout, stderr = (str(self._directory / name) for name in _FIFOS[1:])
        create = pb.CreateTaskRequest(id=_ID, bundle=str(self._bundle), stdin=stdin, stdout=stdout, stderr=stderr)
        create.options.type_url = OPTIONS_TYPE
        create.options.value = options.SerializeToString()
        service = SERVICE_NAMES[0]
        await client.call(service, "Create", create, pb.CreateTaskResponse)
        await client.call(service, "Start", pb.StartRequest(id=_ID), pb.StartResponse)
        (self._directory / "ready").touch()
        await client.call(service, "State", pb.StateRequest(id=_ID), pb.StateResponse)
        with contextlib.suppress(StatusError):
            await client.call(service, "Wait", pb.WaitRequest(id=_ID), pb.WaitResponse)


async def _take_event(_request: Message) -> Message:
    return Empty()


def _listen_for_leases(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen()
    return listener


def _serve_lease(listener: socket.socket) -> None:
    """Answer as the host daemon does; the lease's descriptors are of nothing."""
    connection, _ = listener.accept()
    asyncio.get_running_loop().add_reader(connection, _answer_lease, connection)


def _answer_lease(connection: socket.socket) -> None:
    # Only the driver needs it: the shims that the zygote forks do not.
    from enclave_host.attach_protocol import AttachType, Message
    from enclave_host.packed import ProtocolError

    try:
        asked = Message.unpack(connection.recv(4096))
    except (ProtocolError, OSError):
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()
        return
    body, descriptors = b"", []
    if asked.type == AttachType.REQUEST:
        body, descriptors = bytes(16), [0, 0, 0, 0]
    socket.send_fds(connection, [Message(asked.type, body).pack()], descriptors)
