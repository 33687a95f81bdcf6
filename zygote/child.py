"""A child of the zygote: waits for a call, takes it, and where that leaves nothing behind waits for another."""

import ctypes
import gc
import os
import select
import socket
import sys
from pathlib import Path
from typing import NoReturn

from zygote import caller as callers
from zygote.program import Program
from zygote.protocol import COLD, TAKEN, receive_call, receive_streams, send_plain

# What a child notes on the keeper, its connection to the zygote; the zygote's only note, NEXT, carries the listener.
TAKEN_NOTE, FREE_NOTE, NEXT_NOTE = b"t", b"f", b"n"
# A front sends its call at once: whoever connects and does not is no front.
CALL_SECONDS = 5
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None)


def be_child(listener: socket.socket, keeper: socket.socket, program: Program) -> NoReturn:
    """Ends with the keeper's other end, which is the zygote's, unless it is answering a call then."""
    status = 1
    try:
        set_name(b"teemate-spare")
        if not wait(listener.fileno(), milliseconds=0):
            program.get_ready()
        _answer_calls(listener, keeper, program)
        status = 0
    except BaseException as error:
        print(f"teemate-zygote: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def _answer_calls(listener: socket.socket, keeper: socket.socket, program: Program) -> None:
    next_listener: socket.socket | None = listener
    while next_listener is not None:
        connection, caller = _accept(next_listener, keeper)
        next_listener.close()
        if not program.is_reusable:
            keeper.close()
        count = _descriptor_count()
        with connection:
            _take(connection, caller, program)
        # What is open and was not before may be the caller's, and must not be held beyond its call.
        if not program.is_reusable or _descriptor_count() != count - 1:
            return
        gc.enable()  # the zygote has it disabled: what one call leaves is nothing, what thousands leave adds up
        next_listener = _wait_for_listener(keeper)


def _descriptor_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _wait_for_listener(keeper: socket.socket) -> socket.socket | None:
    """Tell the zygote that we are free; it gives the listener to whom it wants to take the next call."""
    keeper.send(FREE_NOTE, socket.MSG_NOSIGNAL)
    set_name(b"teemate-spare")  # not before, so that whoever makes a call then does not have another child forked
    _note, descriptors, _, _ = socket.recv_fds(keeper, 1, 1, socket.MSG_CMSG_CLOEXEC)
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _accept(listener: socket.socket, keeper: socket.socket) -> tuple[socket.socket, int]:
    """Wait for a call. Ends the process when the keeper ends."""
    while True:
        if keeper.fileno() in wait(listener.fileno(), keeper.fileno()):
            os._exit(0)
        connection, _ = listener.accept()
        caller = callers.process_of_same_user(connection)
        if caller is not None:
            break
        connection.close()
    keeper.send(TAKEN_NOTE, socket.MSG_NOSIGNAL)
    set_name(b"teemate-call")
    return connection, caller


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
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    program.answer(call, connection, caller)


def wait(*descriptors: int, milliseconds: int | None = None) -> list[int]:
    """Those which are readable or have come to their end; none if the time is over."""
    poller = select.poll()
    for descriptor in descriptors:
        # Of standard input only the hang-up counts: as a service we have /dev/null there, which is always readable.
        poller.register(descriptor, 0 if descriptor == 0 else select.POLLIN)
    return [descriptor for descriptor, _ in poller.poll(milliseconds)]


def set_name(name: bytes) -> None:
    _libc.prctl(_PR_SET_NAME, name, 0, 0, 0)
