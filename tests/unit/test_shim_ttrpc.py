"""The ttrpc server and client, against peers that are right and peers that are not."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from protos.containerd import task_v2_pb2, ttrpc_pb2
from shim.ttrpc import server as server_module
from shim.ttrpc.client import Client
from shim.ttrpc.frame import HEADER, MESSAGE_SIZE_MAX, FrameError, FrameType, pack_frame
from shim.ttrpc.server import Method, Server
from shim.ttrpc.status import Code, StatusError
from tests.harness.patience import PATIENCE

SERVICE = "test.Service"


class Handlers:
    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.begun = 0
        self.cancelled = 0

    async def echo(self, request: Message) -> Message:
        return request

    async def hang(self, _request: Message) -> Message:
        self.begun += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return task_v2_pb2.WaitResponse(exit_status=7)

    async def refuse(self, _request: Message) -> Message:
        raise StatusError(Code.NOT_FOUND, "no such thing")

    async def break_down(self, _request: Message) -> Message:
        raise ZeroDivisionError("on purpose")

    async def answer_too_much(self, _request: Message) -> Message:
        return task_v2_pb2.StateResponse(id="x" * (MESSAGE_SIZE_MAX + 1))


class Peer:
    """A server on a socket, and how to reach it rawly and properly."""

    def __init__(self, path: Path, handlers: Handlers) -> None:
        self.path = path
        self.handlers = handlers

    async def client(self) -> Client:
        return await Client.connect(str(self.path))

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path))

    async def lives(self) -> None:
        client = await self.client()
        answer = await call(client, "Echo", container="still here")
        assert answer.id == "still here"
        await client.close()


async def call(
    client: Client, method: str, *, container: str = "c", timeout: float | None = PATIENCE
) -> task_v2_pb2.StateResponse:
    request = task_v2_pb2.StateRequest(id=container)
    return await client.call(SERVICE, method, request, task_v2_pb2.StateResponse, timeout=timeout)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Peer]:
    handlers = Handlers()
    methods = {
        "Echo": handlers.echo,
        "Hang": handlers.hang,
        "Refuse": handlers.refuse,
        "BreakDown": handlers.break_down,
        "AnswerTooMuch": handlers.answer_too_much,
    }
    request_type = task_v2_pb2.StateRequest
    server = Server({SERVICE: {name: Method(request_type, handler) for name, handler in methods.items()}})
    path = directory / "s"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    await server.start(listener)
    try:
        yield Peer(path, handlers)
    finally:
        await server.close()


def run(tmp_path: Path, scenario: Callable[[Peer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(tmp_path) as peer, asyncio.timeout(PATIENCE):
            await scenario(peer)
            await peer.lives()

    asyncio.run(main())


def request_frame(stream: int, method: str, *, service: str = SERVICE, payload: bytes = b"") -> bytes:
    request = ttrpc_pb2.Request(service=service, method=method, payload=payload)
    return pack_frame(stream, FrameType.REQUEST, request.SerializeToString())


async def read_response(reader: asyncio.StreamReader) -> tuple[int, ttrpc_pb2.Response]:
    size, stream, kind, flags = HEADER.unpack(await reader.readexactly(HEADER.size))
    assert (kind, flags) == (FrameType.RESPONSE, 0)
    return stream, ttrpc_pb2.Response.FromString(await reader.readexactly(size))


def test_many_calls_at_a_time_on_one_connection(tmp_path: Path) -> None:
    async def scenario(peer: Peer) -> None:
        client = await peer.client()
        waiting = [asyncio.create_task(call(client, "Hang")) for _ in range(50)]
        answers = await asyncio.gather(*(call(client, "Echo", container=str(number)) for number in range(50)))
        assert [answer.id for answer in answers] == [str(number) for number in range(50)]
        assert not any(task.done() for task in waiting)
        peer.handlers.released.set()
        await asyncio.gather(*waiting)
        await client.close()

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "code", "words"),
    [
        ("Refuse", Code.NOT_FOUND, "no such thing"),
        ("BreakDown", Code.INTERNAL, "on purpose"),
        ("AnswerTooMuch", Code.RESOURCE_EXHAUSTED, "4 MiB"),
        ("Missing", Code.UNIMPLEMENTED, "test.Service/Missing"),
    ],
)
def test_failures_carry_a_code_and_leave_the_connection(tmp_path: Path, method: str, code: Code, words: str) -> None:
    async def scenario(peer: Peer) -> None:
        client = await peer.client()
        with pytest.raises(StatusError, match=words) as caught:
            await call(client, method)
        assert caught.value.code is code
        assert (await call(client, "Echo")).id == "c"
        await client.close()

    run(tmp_path, scenario)


def test_the_servers_deadline(tmp_path: Path) -> None:
    """timeout_nano is the client's; the server keeps it too."""

    async def scenario(peer: Peer) -> None:
        reader, writer = await peer.raw()
        request = ttrpc_pb2.Request(service=SERVICE, method="Hang", timeout_nano=1_000_000)
        writer.write(pack_frame(1, FrameType.REQUEST, request.SerializeToString()))
        stream, response = await read_response(reader)
        assert (stream, response.status.code) == (1, Code.DEADLINE_EXCEEDED)
        assert peer.handlers.cancelled == 1
        writer.close()

    run(tmp_path, scenario)


def test_the_clients_deadline(tmp_path: Path) -> None:
    async def scenario(peer: Peer) -> None:
        client = await peer.client()
        with pytest.raises(StatusError) as caught:
            await call(client, "Hang", timeout=0.01)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        await client.close()

    run(tmp_path, scenario)


def test_oversized_frames_are_answered_and_skipped(tmp_path: Path) -> None:
    async def scenario(peer: Peer) -> None:
        reader, writer = await peer.raw()
        size = MESSAGE_SIZE_MAX + 1
        writer.write(HEADER.pack(size, 1, FrameType.REQUEST, 0))
        writer.write(bytes(size))
        writer.write(request_frame(3, "Echo"))
        seen = dict([await read_response(reader), await read_response(reader)])
        assert seen[1].status.code == Code.RESOURCE_EXHAUSTED
        assert seen[3].status.code == Code.OK
        writer.close()

    run(tmp_path, scenario)


def test_garbage_in_an_envelope_or_a_payload_is_an_invalid_argument(tmp_path: Path) -> None:
    async def scenario(peer: Peer) -> None:
        reader, writer = await peer.raw()
        writer.write(pack_frame(1, FrameType.REQUEST, b"\xff" * 40))
        assert (await read_response(reader))[1].status.code == Code.INVALID_ARGUMENT
        writer.write(request_frame(3, "Echo", payload=b"\xff" * 40))
        assert (await read_response(reader))[1].status.code == Code.INVALID_ARGUMENT
        writer.write(request_frame(5, "", service=""))
        assert (await read_response(reader))[1].status.code == Code.UNIMPLEMENTED
        writer.close()

    run(tmp_path, scenario)


BREACHES = {
    "an even stream id": request_frame(2, "Echo"),
    "a stream id that does not rise": request_frame(5, "Hang") + request_frame(5, "Echo"),
    "a falling stream id": request_frame(5, "Hang") + request_frame(3, "Echo"),
    "a response": pack_frame(1, FrameType.RESPONSE, b""),
    "stream data": pack_frame(1, FrameType.DATA, b"x"),
    "an unknown type": HEADER.pack(0, 1, 77, 0),
    "half a header": b"\0\0\0",
    "half a message": HEADER.pack(100, 1, FrameType.REQUEST, 0) + b"abc",
    "half an oversized message": HEADER.pack(0xFFFFFFFF, 1, FrameType.REQUEST, 0) + bytes(5000),
    "a length that lies about what follows": HEADER.pack(3, 1, FrameType.REQUEST, 0) + request_frame(1, "Echo"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_the_protocol_ends_its_own_connection_only(tmp_path: Path, name: str) -> None:
    async def scenario(peer: Peer) -> None:
        other = await peer.client()
        waiting = asyncio.create_task(call(other, "Hang"))
        reader, writer = await peer.raw()
        writer.write(BREACHES[name])
        writer.write_eof()
        await reader.read()  # to the end: answers, then the close
        assert not waiting.done()
        peer.handlers.released.set()
        await waiting
        await other.close()

    run(tmp_path, scenario)


def test_calls_of_a_connection_that_ends_are_cancelled(tmp_path: Path) -> None:
    async def scenario(peer: Peer) -> None:
        _, writer = await peer.raw()
        for number in range(10):
            writer.write(request_frame(2 * number + 1, "Hang"))
        while peer.handlers.begun < 10:
            await asyncio.sleep(0.01)
        writer.close()
        while peer.handlers.cancelled < 10:
            await asyncio.sleep(0.01)

    run(tmp_path, scenario)


def test_calls_under_way_are_bounded(tmp_path: Path) -> None:
    async def scenario(peer: Peer) -> None:
        reader, writer = await peer.raw()
        for number in range(server_module.CALLS_PER_CONNECTION_MAX + 1):
            writer.write(request_frame(2 * number + 1, "Hang"))
        assert await reader.read() == b""

    run(tmp_path, scenario)


def test_another_users_connection_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(peer: Peer) -> None:
        monkeypatch.setattr(server_module.os, "getuid", lambda: os.geteuid() + 1)
        reader, writer = await peer.raw()
        writer.write(request_frame(1, "Echo"))
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        monkeypatch.undo()

    run(tmp_path, scenario)


@pytest.mark.parametrize("answer", [b"", b"\0\0", HEADER.pack(0xFFFFFFFF, 1, 2, 0), HEADER.pack(9, 1, 2, 0) + b"abc"])
def test_a_client_whose_server_breaks_off(tmp_path: Path, answer: bytes) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(answer)
            writer.close()

        await asyncio.start_unix_server(serve, path=tmp_path / "s")
        client = await Client.connect(str(tmp_path / "s"))
        with pytest.raises(StatusError) as caught:
            await call(client, "Echo")
        assert caught.value.code is Code.UNAVAILABLE
        with pytest.raises(StatusError):
            await call(client, "Echo")
        await client.close()

    asyncio.run(main())


def test_a_client_that_gets_garbage(tmp_path: Path) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(pack_frame(1, FrameType.RESPONSE, b"\xff\xff\xff"))

        await asyncio.start_unix_server(serve, path=tmp_path / "s")
        client = await Client.connect(str(tmp_path / "s"))
        with pytest.raises(StatusError, match="malformed answer"):
            await client.call(SERVICE, "Echo", Empty(), Empty, timeout=PATIENCE)
        await client.close()

    asyncio.run(main())


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError, match="exceeds"):
        pack_frame(1, FrameType.REQUEST, bytes(MESSAGE_SIZE_MAX + 1))
