"""The resident process: listens, and forks a child for each call. It keeps nothing itself, so that it may be killed."""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path

from zygote import caller as callers
from zygote import runtime_call, shim_call
from zygote.protocol import COLD, SHIM, TAKEN, Call, receive_call, send_done, send_plain

_PR_SET_NAME = 15
BACKLOG = 256
# A front sends its call at once: whoever connects and does not is no front.
CALL_SECONDS = 5


def serve(path: Path) -> None:
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
            if (caller := callers.process_of_same_user(connection)) is not None:
                _fork(listener, connection, caller)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    listener.bind(str(path))
    os.umask(previous)
    listener.listen(BACKLOG)
    return listener


def _fork(listener: socket.socket, connection: socket.socket, caller: int) -> None:
    try:
        child = os.fork()
    except OSError as error:
        print(f"teemate-zygote: cannot fork: {error}", file=sys.stderr)  # the front goes on without us
        return
    if child == 0:
        status = 1
        try:
            listener.close()
            _answer(connection, caller)
            status = 0
        except BaseException as error:
            print(f"teemate-zygote: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)


def _answer(connection: socket.socket, caller: int) -> None:
    connection.settimeout(CALL_SECONDS)
    call = receive_call(connection)
    connection.settimeout(None)
    if not callers.is_in_our_world(caller):
        send_plain(connection, COLD)
        return
    send_plain(connection, TAKEN)
    _take_place_of(call)
    if call.program == SHIM:

        def done(status: int) -> None:
            send_done(connection, status)
            connection.close()

        shim_call.answer(call, caller, done=done)
    else:
        send_done(connection, runtime_call.answer(call, connection, caller))


def _take_place_of(call: Call) -> None:
    """The caller's directory, umask, environment and standard streams."""
    os.chdir(call.directory)
    os.umask(call.umask)
    os.environb.clear()
    os.environb.update(call.environment)
    for number, descriptor in enumerate(call.streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
