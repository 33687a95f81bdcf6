"""The resident process: listens, and forks a child for each call. It keeps nothing itself, so that it may be killed."""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from zygote import caller as callers
from zygote.protocol import COLD, TAKEN, Call, receive_call, receive_streams, send_plain

_PR_SET_NAME = 15
BACKLOG = 256
# A front sends its call at once: whoever connects and does not is no front.
CALL_SECONDS = 5

# Answers one call on its connection, in the place of the caller with that process id.
Answer = Callable[[Call, socket.socket, int], None]


def serve(path: Path, *, program: int, answer: Answer) -> None:
    """Answer calls until standard input, whose other end the host daemon holds, comes to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, b"teemate-zygote", 0, 0, 0)
    callers.own_world()
    listener = _listen(path)
    gc.collect()
    gc.freeze()  # the collector must not write to pages that the children share
    gc.disable()
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    poller.register(sys.stdin.fileno(), 0)  # only its hang-up
    while True:
        ready = dict(poller.poll())
        if sys.stdin.fileno() in ready:
            return
        connection, _ = listener.accept()
        with connection:
            if (caller := callers.process_of_same_user(connection)) is not None and _fork() == 0:
                _be_child(listener, connection, caller, program, answer)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    listener.bind(str(path))
    os.umask(previous)
    listener.listen(BACKLOG)
    return listener


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        print(f"teemate-zygote: cannot fork: {error}", file=sys.stderr)  # the front goes on without us
        return -1


def _be_child(listener: socket.socket, connection: socket.socket, caller: int, program: int, answer: Answer) -> None:
    status = 1
    try:
        listener.close()
        _take(connection, caller, program, answer)
        status = 0
    except BaseException as error:
        print(f"teemate-zygote: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def _take(connection: socket.socket, caller: int, program: int, answer: Answer) -> None:
    connection.settimeout(CALL_SECONDS)
    call = receive_call(connection)
    if call.program != program or not callers.is_in_our_world(caller):
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
    answer(call, connection, caller)
