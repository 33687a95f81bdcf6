"""Leases for a shim: teemate_runtime's own calls of the host daemon, without keeping the other containers waiting."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable

from shim.delegate import DelegateError
from teemate_runtime.oci.annotation import Wishes
from teemate_runtime.oci.attach import Connection, Refused, Usage
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.lease import Asked, Lease, container_name
from teemate_runtime.oci.prepare import ask_or_leave, leave_or_raise

# Metrics are asked for often, and are of use without the enclave's part.
USAGE_SECONDS = 2.0


async def acquire(context: Context, wishes: Wishes, container: str, process: str = "") -> Lease:
    """A lease that is not bound yet. Raises Failure."""
    name = container_name(context.root, container)
    return await _granted(Asked(context.settings.attach_socket, wishes, container=name, process=process))


async def acquire_or_leave(
    context: Context, wishes: Wishes, container: str, meanwhile: Callable[[], None]
) -> Lease | None:
    """As prepare.lease_or_leave() does it."""
    asked = ask_or_leave(context, wishes, container=container, process="", meanwhile=meanwhile)
    try:
        return await _granted(asked) if asked else None
    except Failure as failure:
        leave_or_raise(context, container, failure)
        return None


async def _granted(asked: Asked) -> Lease:
    try:
        await _answered(asked.connection)
    except BaseException:
        asked.connection.close()
        raise
    return asked.receive()


def bind_exec(lease: Lease, pid: int) -> None:
    """Bind to a running exec, and end one that cannot be bound. Raises DelegateError."""
    try:
        lease.bind(pid)
    except Refused as refusal:
        if refusal.code == errno.ESRCH:
            return  # it has run and ended already
        os.kill(pid, signal.SIGKILL)
        raise DelegateError(f"the lease of an exec cannot be bound: {refusal}") from refusal


async def release(context: Context, container: str) -> None:
    """Wait until the container's leases have ended. They end with their processes in any case: errors do not matter."""
    with contextlib.suppress(Refused, Failure):
        connection = Connection(context.settings.attach_socket)
        try:
            connection.ask_to_release(container_name(context.root, container))
            await _answered(connection)
            connection.receive_release()
        finally:
            connection.close()


async def usage(context: Context, container: str) -> list[Usage]:
    """What the container's leases take now. Raises Refused, Failure."""
    connection = Connection(context.settings.attach_socket)
    connection.socket.settimeout(USAGE_SECONDS)
    try:
        connection.ask_for_usage(container_name(context.root, container))
        await _answered(connection)
        return connection.receive_usage()
    finally:
        connection.close()


async def _answered(connection: Connection) -> None:
    """Wait until the daemon's answer can be read."""
    loop = asyncio.get_running_loop()
    descriptor = connection.socket.fileno()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        async with asyncio.timeout(connection.socket.gettimeout()):
            await ready.wait()
    except TimeoutError:
        raise Failure("no answer from the host daemon", cause="time-out", remedy="see its log") from None
    finally:
        loop.remove_reader(descriptor)
