"""The shim as a process: from the `start` action to the end of its last container."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from shim import bundle, reaper
from shim.address import Address, group_of, listen
from shim.events import Publisher
from shim.invocation import Invocation
from shim.reaper import Reaper
from shim.rest import Rest
from shim.service import TaskService
from shim.ttrpc.server import Server
from teemate_runtime.oci import strict_json

PR_SET_NAME = 15
EVENTS_DRAIN_TIMEOUT = 5.0


def prepare(invocation: Invocation) -> tuple[Address, socket.socket | None, strict_json.Object]:
    """The `start` action's first half: the group's address, its listener unless a shim serves there already, and what
    config.json says. Raises Failure, OSError.
    """
    document = bundle.config(invocation.bundle)
    address = Address.of(
        grpc_address=invocation.grpc_address,
        namespace=invocation.namespace,
        group=group_of(bundle.annotations_in(document), invocation.id),
    )
    listener = listen(address)
    # containerd 1.6 and 1.7 find the shim again by this file; 2.x reads it when it migrates.
    (invocation.bundle / "address").write_text(address.uri)
    return address, listener, document


def leave_streams(invocation: Invocation) -> None:
    """Let go of the streams of whoever started the shim: containerd reads them up to their end before it goes on."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(_open_log(invocation.bundle, fallback=null), 2)
    if null > 2:
        os.close(null)


def detach(invocation: Invocation) -> None:
    """Cut the shim loose from whoever started it in all else: process group, directory, out-of-memory score, name.

    The session stays, as with the stock shim: the kernel shares out the CPU by session (sched(7), autogroup), and the
    runtime's processes, which are short, get less of it in a new one.
    """
    os.setpgid(0, 0)
    os.chdir(invocation.bundle)
    _prefer_for_oom()
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"shim-teemate-v2", 0, 0, 0)


def _open_log(directory: Path, *, fallback: int) -> int:
    """containerd's `log` FIFO. Opened for reading too, so that it outlives a containerd that goes away."""
    try:
        return os.open(directory / "log", os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return fallback


def _prefer_for_oom() -> None:
    """One above containerd's score, so that the kernel ends a shim before containerd."""
    own = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        own.write_text(str(min(int(own.read_text()) + 1, 1000)))


class Grounds:
    """What a process can have ready before it knows whom it is to serve."""

    def __init__(self) -> None:
        logging.basicConfig(
            stream=sys.stderr,
            level=logging.WARNING,
            format='time="%(asctime)s" level=%(levelname)s msg="%(message)s"',
            force=True,
        )
        reaper.become_subreaper()
        self.loop = asyncio.new_event_loop()
        self.reaper = Reaper()
        self.reaper.start(self.loop)


def serve(
    invocation: Invocation,
    address: Address,
    listener: socket.socket,
    documents: dict[Path, strict_json.Object],
    *,
    at_rest: Callable[[], None],
    grounds: Grounds,
) -> None:
    """Serve until containerd says Shutdown and no container is left. Removes the socket.

    `documents` holds what is known already of a bundle's config.json. `at_rest` is called whenever there has been
    nothing to do for a while.
    """
    if invocation.debug:
        logging.getLogger().setLevel(logging.DEBUG)
    gc.enable()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=lambda: grounds.loop) as runner:
        runner.run(_serve(invocation, address, listener, documents, at_rest, grounds.reaper))


async def _serve(
    invocation: Invocation,
    address: Address,
    listener: socket.socket,
    documents: dict[Path, strict_json.Object],
    at_rest: Callable[[], None],
    children: Reaper,
) -> None:
    stop = asyncio.Event()
    rest = Rest(at_rest)
    loop = asyncio.get_running_loop()
    # Not by add_signal_handler, which takes longer for each: the loop wakes for these, too, once it has one handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    children.stirred = rest.stir
    publisher = Publisher(address=invocation.ttrpc_address, namespace=invocation.namespace)
    service = TaskService(
        namespace=invocation.namespace,
        reaper=children,
        publisher=publisher,
        documents=documents,
        on_shutdown=stop.set,
    )
    server = Server(service.services(), stirred=rest.stir)
    try:
        await server.start(listener)
        rest.stir()
        await stop.wait()
    finally:
        rest.close()
        # While it still listens: the next shim of this address must not find its own socket removed.
        address.path.unlink(missing_ok=True)
        # containerd waits for the end of its connection, but not for that of this process.
        await server.close()
        await publisher.drain(timeout=EVENTS_DRAIN_TIMEOUT)
