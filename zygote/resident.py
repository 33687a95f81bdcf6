"""The resident process: listens, and has a child forked and ready for the next call.

It keeps nothing itself, and so may be killed.
"""

import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path

from zygote import caller as callers
from zygote.child import FREE_NOTE, NEXT_NOTE, TAKEN_NOTE, be_child, set_name, wait
from zygote.program import Program

BACKLOG = 256
RETRY_SECONDS = 0.1
IDLE_MILLISECONDS = 20
# Children that wait for work beside the one which is next: as many calls at once are answered without a fork.
FREE_MAX = 3
_STDIN = 0


def serve(path: Path, program: Program) -> None:
    """Answer calls until standard input, whose other end the host daemon holds, comes to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    set_name(b"teemate-zygote")
    callers.own_world()
    gc.collect()
    gc.freeze()  # the collector must not write to pages that the children share
    gc.disable()
    children = _Children(program)
    program.prepare(children.serve_next)
    listener = listen(path)
    while children.serve_next(listener):
        pass


class _Children:
    """The child that is next, forked beforehand since forking takes longer than answering, and those used again.

    A child is known by the keeper, our end of a connection to it: it notes there that it has taken a call, so that the
    next child is due, and that it is free again; and sees by its end that this process is gone.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._busy: list[socket.socket] = []
        self._free: list[socket.socket] = []

    def serve_next(self, listener: socket.socket, *watched: socket.socket) -> bool:
        """Have one call taken. False: standard input has come to its end, or something `watched` is readable."""
        spare = self._next(listener)
        while spare.fileno() not in (ready := self._wait(spare, *watched)):
            if ready:
                spare.close()
                return False
        if spare.recv(1) != TAKEN_NOTE:
            spare.close()
            time.sleep(RETRY_SECONDS)  # it has died without a call: something is wrong, and may pass
            return True
        if self._program.is_reusable:
            self._busy.append(spare)
        else:
            spare.close()
        if not self._wait(listener, milliseconds=0):
            self._program.on_taken()
        # Forking now would hold up what has just been started; but the next caller must not wait for it.
        if not self._free:
            self._wait(listener, milliseconds=IDLE_MILLISECONDS)
        return True

    def _wait(self, *sockets: socket.socket, milliseconds: int | None = None) -> list[int]:
        """Those of `sockets` that are readable, and standard input if it has ended; none if a child has become free."""
        busy = {keeper.fileno(): keeper for keeper in self._busy}
        ready = wait(_STDIN, *(each.fileno() for each in sockets), *busy, milliseconds=milliseconds)
        for keeper in [busy[number] for number in ready if number in busy]:
            self._busy.remove(keeper)
            if keeper.recv(1) == FREE_NOTE and len(self._free) < FREE_MAX:
                self._free.append(keeper)
            else:
                keeper.close()
        return [number for number in ready if number not in busy]

    def _next(self, listener: socket.socket) -> socket.socket:
        """Who takes the next call: a free child, or a new one."""
        while self._free:
            keeper = self._free.pop()
            try:
                socket.send_fds(keeper, [NEXT_NOTE], [listener.fileno()], socket.MSG_NOSIGNAL)
            except OSError:
                keeper.close()  # it has been killed
            else:
                return keeper
        return self._fork(listener)

    def _fork(self, listener: socket.socket) -> socket.socket:
        ours, childs = socket.socketpair()
        with childs:
            try:
                child = os.fork()
            except OSError as error:
                print(f"teemate-zygote: cannot fork: {error}", file=sys.stderr)  # fronts go on without us meanwhile
                return ours
            if child == 0:
                for keeper in (ours, *self._busy, *self._free):
                    keeper.close()  # its end is to be this process's end
                be_child(listener, childs, self._program)
        return ours


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
