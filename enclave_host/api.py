"""host.sock: the operators' gRPC interface, served in the daemon's loop.

gRPC tells us nothing about the peer of a unix socket. What keeps others out is the file system: the socket has mode
0600 and lies in a directory of mode 0700 that belongs to the daemon's user.
"""

import asyncio
import errno
import functools
import importlib.metadata
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from enclave_host.api_messages import (
    enclave_message,
    event_message,
    lease_message,
    pool_message,
    settings_from_message,
    timestamp,
)
from enclave_host.enclave import Enclave
from enclave_host.errors import HostError, NotFoundError
from enclave_host.events import Event
from enclave_host.lease import Lease
from enclave_host.memory_usage import process_memory
from enclave_host.pool import Pool
from enclave_host.sgx import host_xfrm
from protos import health_pb2, health_pb2_grpc, host_pb2, host_pb2_grpc

if TYPE_CHECKING:
    from enclave_host.daemon import Daemon

SERVICE = "teemate.host.v1.Host"
EVENTS_BEHIND_MAX = 4096
STOP_SECONDS = 1.0

_STATUS = {
    errno.ENOENT: grpc.StatusCode.NOT_FOUND,
    errno.EEXIST: grpc.StatusCode.ALREADY_EXISTS,
    errno.EINVAL: grpc.StatusCode.INVALID_ARGUMENT,
    errno.EBUSY: grpc.StatusCode.FAILED_PRECONDITION,
    errno.ENOSPC: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

_Context = Any  # grpc.aio.ServicerContext, generic in messages that have no types
_Method = Callable[[Any, Any, _Context], Awaitable[Any]]


def _refusing(method: _Method) -> _Method:
    """Answer a HostError with a status whose message is for the user."""

    @functools.wraps(method)
    async def guarded(self: Any, request: Any, context: _Context) -> Any:
        try:
            return await method(self, request, context)
        except HostError as error:
            await context.abort(_STATUS.get(error.code, grpc.StatusCode.INTERNAL), str(error))

    return guarded


class HostService(host_pb2_grpc.HostServicer):  # type: ignore[misc]
    """One method for each rpc of host.proto."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._started = time.time()

    @_refusing
    async def GetHost(self, request: Any, context: _Context) -> Any:
        daemon = self._daemon
        return host_pb2.HostInfo(
            version=importlib.metadata.version("teemate"),
            provider=daemon.provider.name,
            gives_confidentiality=daemon.provider.gives_confidentiality,
            xfrm=host_xfrm(),
            image=os.fspath(daemon.config.image),
            mate=os.fspath(daemon.config.mate),
            mrsigner=daemon.builder.mrsigner,
            started=timestamp(self._started),
            process_id=os.getpid(),
            janitor_restarts=daemon.janitor.restarts,
            open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
            attach_connections=daemon.attach_server.connections,
        )

    @_refusing
    async def ListPools(self, request: Any, context: _Context) -> Any:
        pools = sorted(self._daemon.pools.pools.values(), key=lambda pool: pool.name)
        return host_pb2.ListPoolsResponse(pools=[self._pool(pool) for pool in pools])

    @_refusing
    async def GetPool(self, request: Any, context: _Context) -> Any:
        return self._pool(self._daemon.pools.get(request.name))

    @_refusing
    async def CreatePool(self, request: Any, context: _Context) -> Any:
        return self._pool(self._daemon.pools.create(request.name, settings_from_message(request.settings)))

    @_refusing
    async def ResizePool(self, request: Any, context: _Context) -> Any:
        ready = request.ready if request.HasField("ready") else None
        maximum = request.maximum if request.HasField("maximum") else None
        return self._pool(self._daemon.pools.resize(request.name, ready=ready, maximum=maximum))

    @_refusing
    async def DrainPool(self, request: Any, context: _Context) -> Any:
        return self._pool(self._daemon.pools.drain(request.name))

    @_refusing
    async def DeletePool(self, request: Any, context: _Context) -> Any:
        self._daemon.pools.delete(request.name)
        return host_pb2.DeletePoolResponse()

    @_refusing
    async def ListEnclaves(self, request: Any, context: _Context) -> Any:
        enclaves = sorted(self._enclaves(request.pool), key=lambda enclave: enclave.id)
        return host_pb2.ListEnclavesResponse(enclaves=[self._enclave(enclave) for enclave in enclaves])

    @_refusing
    async def GetEnclave(self, request: Any, context: _Context) -> Any:
        for enclave in self._enclaves(""):
            if enclave.id == request.id:
                return self._enclave(enclave)
        raise NotFoundError(f"no enclave {request.id}")

    @_refusing
    async def ListLeases(self, request: Any, context: _Context) -> Any:
        leases = [
            lease
            for lease in self._daemon.leases.leases.values()
            if request.pool in ("", lease.pool) and request.container in ("", lease.container)
        ]
        return host_pb2.ListLeasesResponse(leases=await self._lease_messages(leases))

    @_refusing
    async def GetLease(self, request: Any, context: _Context) -> Any:
        lease = self._daemon.leases.leases.get(request.id)
        if lease is None:
            raise NotFoundError(f"no lease {request.id}; it may have ended")
        return (await self._lease_messages([lease]))[0]

    async def WatchEvents(self, request: Any, context: _Context) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Event] = asyncio.Queue(EVENTS_BEHIND_MAX)
        wanted = frozenset(request.types)
        behind = False

        def take(event: Event) -> None:
            nonlocal behind
            if request.pool not in ("", event.pool) or (wanted and event.type not in wanted):
                return
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                behind = True

        events = self._daemon.events
        if request.recent:
            for event in events.recent():
                take(event)
        if request.follow:
            events.watch(take)
        try:
            while request.follow or not queue.empty():
                yield event_message(await queue.get())
                if behind:
                    await context.abort(
                        grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {EVENTS_BEHIND_MAX} events behind: read faster"
                    )
        finally:
            events.unwatch(take)

    def _pool(self, pool: Pool) -> Any:
        configured = self._daemon.pools.is_configured(pool.name)
        return pool_message(pool, configured=configured, builder=self._daemon.builder)

    def _enclaves(self, pool: str) -> list[Enclave]:
        pools = [self._daemon.pools.get(pool)] if pool else self._daemon.pools.pools.values()
        return [enclave for each in pools for enclave in each.enclaves.values()]

    def _enclave(self, enclave: Enclave) -> Any:
        return enclave_message(enclave, trust_domain=self._trust_domain(enclave.pool))

    def _trust_domain(self, pool: str) -> str:
        return self._daemon.pools.get(pool).config.trust_domain

    async def _lease_messages(self, leases: list[Lease]) -> list[Any]:
        pids = [lease.pid for lease in leases]
        # Walking page tables takes milliseconds: not in the loop that grants leases.
        memory = await asyncio.to_thread(lambda: [process_memory(pid) if pid else 0 for pid in pids])
        return [
            lease_message(lease, trust_domain=self._trust_domain(lease.pool), process_memory=size)
            for lease, size in zip(leases, memory, strict=True)
            if lease.id in self._daemon.leases.leases  # it may have ended meanwhile
        ]


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The standard health service: whoever gets an answer is served."""

    async def Check(self, request: Any, context: _Context) -> Any:
        if request.service not in ("", SERVICE):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service `{request.service}`")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: Any, context: _Context) -> AsyncIterator[Any]:
        known = request.service in ("", SERVICE)
        response = health_pb2.HealthCheckResponse
        yield response(status=response.SERVING if known else response.SERVICE_UNKNOWN)
        await asyncio.get_running_loop().create_future()  # it never changes; ends with the call


class ApiServer:
    """The gRPC server on host.sock."""

    def __init__(self, path: Path, daemon: "Daemon") -> None:
        self._path = path
        self._server = grpc.aio.server()
        host_pb2_grpc.add_HostServicer_to_server(HostService(daemon), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(), self._server)

    async def start(self) -> None:
        mask = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            self._server.add_insecure_port(f"unix:{self._path}")
        except (OSError, RuntimeError) as error:
            raise HostError(f"{self._path}: cannot listen there: {error}; see run_directory") from error
        finally:
            os.umask(mask)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(STOP_SECONDS)
        self._path.unlink(missing_ok=True)
