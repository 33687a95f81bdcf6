"""The daemon's gRPC interface for the subcommands. Imported only by those that call it: grpc takes 150 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from protos import host_pb2, host_pb2_grpc
from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.session import HOST_VARIABLE, Session

ANSWER_SECONDS = 120  # a pool is created with its enclaves


class HostClient:
    """One connection. Every refusal becomes a CommandError."""

    def __init__(self, session: Session) -> None:
        self._path = session.api_socket
        self._channel = grpc.insecure_channel(f"unix:{self._path}")
        self._stub: Any = host_pb2_grpc.HostStub(self._channel)

    def __enter__(self) -> HostClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def host(self) -> Any:
        return self._call(self._stub.GetHost, host_pb2.GetHostRequest())

    def pools(self) -> list[Any]:
        return list(self._call(self._stub.ListPools, host_pb2.ListPoolsRequest()).pools)

    def pool(self, name: str) -> Any:
        return self._call(self._stub.GetPool, host_pb2.GetPoolRequest(name=name))

    def create_pool(self, name: str, settings: dict[str, Any]) -> Any:
        heap = settings.pop("heap", None)
        message = host_pb2.PoolSettings(**settings)
        if heap:
            message.heap = host_pb2.Heap.Value(f"HEAP_{heap.upper()}")
        return self._call(self._stub.CreatePool, host_pb2.CreatePoolRequest(name=name, settings=message))

    def resize_pool(self, name: str, *, ready: int | None, maximum: int | None) -> Any:
        return self._call(self._stub.ResizePool, host_pb2.ResizePoolRequest(name=name, ready=ready, maximum=maximum))

    def drain_pool(self, name: str) -> Any:
        return self._call(self._stub.DrainPool, host_pb2.DrainPoolRequest(name=name))

    def delete_pool(self, name: str) -> None:
        self._call(self._stub.DeletePool, host_pb2.DeletePoolRequest(name=name))

    def enclaves(self, *, pool: str = "") -> list[Any]:
        return list(self._call(self._stub.ListEnclaves, host_pb2.ListEnclavesRequest(pool=pool)).enclaves)

    def enclave(self, number: int) -> Any:
        return self._call(self._stub.GetEnclave, host_pb2.GetEnclaveRequest(id=number))

    def leases(self, *, pool: str = "", container: str = "") -> list[Any]:
        request = host_pb2.ListLeasesRequest(pool=pool, container=container)
        return list(self._call(self._stub.ListLeases, request).leases)

    def lease(self, number: int) -> Any:
        return self._call(self._stub.GetLease, host_pb2.GetLeaseRequest(id=number))

    def events(self, *, pool: str, types: list[str], recent: bool, follow: bool) -> Iterator[Any]:
        request = host_pb2.WatchEventsRequest(pool=pool, types=types, recent=recent, follow=follow)
        try:
            yield from self._stub.WatchEvents(request)
        except grpc.RpcError as error:
            raise self._explained(error) from None

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise self._explained(error) from None

    def _explained(self, error: grpc.RpcError) -> CommandError:
        assert isinstance(error, grpc.Call)
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            return CommandError(
                f"the host daemon cannot be reached at {self._path}",
                cause=self._unreachable(details),
                remedy=f"systemctl start teemate-hostd; name its run directory with --host or {HOST_VARIABLE}",
            )
        if code is grpc.StatusCode.PERMISSION_DENIED:
            return CommandError(details or "permission denied", remedy="run this as root")
        return CommandError(details or f"the host daemon refused: {code.name}")

    def _unreachable(self, details: str) -> str:
        try:
            exists = self._path.exists()
        except PermissionError:
            return "its run directory is not readable for this user"
        return details if exists else "there is no such socket"
