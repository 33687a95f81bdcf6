"""The resident process: listens, and has a child forked and ready for the next call.

It keeps nothing itself, and so may be killed.
"""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from zygote import caller as callers
from zygote.protocol import COLD, TAKEN, Call, receive_call, receive_streams, send_plain

_PR_SET_NAME = 15
_libc = ctypes.CDLL(None)
BACKLOG = 256
# A front sends its call at once: whoever connects and does not is no front.
CALL_SECONDS = 5
RETRY_SECONDS = 0.1
IDLE_MILLISECONDS = 20
_TAKEN_NOTE = b"t"


class ServeNext(Protocol):
    """Has one call taken by a child. False if something `watched` became readable before."""

    def __call__(self, listener: socket.socket, *watched: socket.socket) -> bool: ...


class Program(NamedTuple):
    """What a zygote's children do."""

    number: int
    # Answers one call on its connection, in the place of the caller with that process id.
    answer: Callable[[Call, socket.socket, int], None]
    # What a child does while it waits for its call.
    get_ready: Callable[[], None]
    # What the zygote does last before it serves; the function it is given has one call taken.
    prepare: Callable[[ServeNext], None]


def serve(path: Path, program: Program) -> None:
    """Answer calls until standard input, whose other end the host daemon holds, comes to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    set_name(b"teemate-zygote")
    callers.own_world()
    gc.collect()
    gc.freeze()  # the collector must not write to pages that the children share
    gc.disable()
    program.prepare(lambda listener, *watched: _serve_next(listener, program, *watched))
    listener = listen(path)
    while _serve_next(listener, program):
        pass


def _serve_next(listener: socket.socket, program: Program, *watched: socket.socket) -> bool:
    """Have one call taken by a child. False: standard input has come to its end, or something `watched` is readable."""
    with _fork_spare(listener, program) as spare:
        ready = _wait(spare.fileno(), sys.stdin.fileno(), *(each.fileno() for each in watched))
        if spare.fileno() not in ready:
            return False
        if spare.recv(1) != _TAKEN_NOTE:
            time.sleep(RETRY_SECONDS)  # it has died without a call: something is wrong, and may pass
    # Forking now would hold up what has just been started; but the next caller must not wait for it.
    _wait(listener.fileno(), sys.stdin.fileno(), milliseconds=IDLE_MILLISECONDS)
    return True


def _fork_spare(listener: socket.socket, program: Program) -> socket.socket:
    """Fork the child that will take the next call: beforehand, since forking takes longer than answering.

    It notes on the connection that it has taken a call, so that the next one is due; and sees by its end that this
    process is gone.
    """
    ours, childs = socket.socketpair()
    with childs:
        try:
            child = os.fork()
        except OSError as error:
            print(f"teemate-zygote: cannot fork: {error}", file=sys.stderr)  # fronts go on without us meanwhile
            return ours
        if child == 0:
            ours.close()
            _be_spare(listener, childs, program)
    return ours


def _be_spare(listener: socket.socket, keeper: socket.socket, program: Program) -> None:
    status = 1
    try:
        set_name(b"teemate-spare")
        if not _wait(listener.fileno(), milliseconds=0):
            program.get_ready()
        connection, caller = _accept(listener, keeper)
        with connection:
            _take(connection, caller, program)
        status = 0
    except BaseException as error:
        print(f"teemate-zygote: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def _accept(listener: socket.socket, keeper: socket.socket) -> tuple[socket.socket, int]:
    """Wait for a call, and let go of listener and keeper then. Ends the process when the keeper does."""
    while True:
        if keeper.fileno() in _wait(listener.fileno(), keeper.fileno()):
            os._exit(0)
        connection, _ = listener.accept()
        caller = callers.process_of_same_user(connection)
        if caller is not None:
            break
        connection.close()
    keeper.send(_TAKEN_NOTE, socket.MSG_NOSIGNAL)
    keeper.close()
    listener.close()
    set_name(b"teemate-call")
    return connection, caller


def _wait(*descriptors: int, milliseconds: int | None = None) -> list[int]:
    """Those which are readable or have come to their end; none if the time is over."""
    poller = select.poll()
    for descriptor in descriptors:
        # Of standard input only the hang-up counts: as a service we have /dev/null there, which is always readable.
        poller.register(descriptor, 0 if descriptor == sys.stdin.fileno() else select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(milliseconds)]


def set_name(name: bytes) -> None:
    _libc.prctl(_PR_SET_NAME, name, 0, 0, 0)


def listen(path: Path) -> socket.socket:
    """It appears under its name when it listens: nobody who finds it is refused."""
    hidden = path.with_suffix(".new")
    hidden.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    listener.bind(str(hidden))
    os.umask(previous)
    listener.listen(BACKLOG)
    hidden.rename(path)
    return listener


def _take(connection: socket.socket, caller: int, program: Program) -> None:
    connection.settimeout(CALL_SECONDS)
    call = receive_call(connection)
    if call.program != program.number or not callers.is_in_our_world(caller):
        send_plain(connection, COLD)
        return
    send_plain(connection, TAKEN)
    streams = receive_streams(connection)
    connection.settimeout(None)
    os.chdir(call.directory)
    os.umask(call.umask)
    os.environb.clear()
    os.environb.update(call.environment)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    program.answer(call, connection, caller)
