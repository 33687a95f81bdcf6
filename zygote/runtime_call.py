"""A call of `teemate-runtime`: done here, but for the delegate, which the front executes."""

import contextlib
import os
import socket
import sys

# What a command imports when it needs it, imported before the fork.
from teemate_runtime.oci import checkpoint, create, delete, exec, kill, run, version  # noqa: F401
from teemate_runtime.oci.main import run as run_command
from zygote import caller as callers
from zygote import runtime_rehearsal, working_set
from zygote.front_executor import FrontExecutor, FrontHasLeft
from zygote.program import ServeNext
from zygote.protocol import Call, send_done

# Python 3.11 specialises code at its eighth execution.
REHEARSALS = 10


class RuntimeCall:
    """What the runtime's zygote and its children do."""

    def __init__(self) -> None:
        self._pages: list[working_set.Range] = []
        self._own_streams = (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), *(os.dup(number) for number in (1, 2)))

    def prepare(self, _serve_next: ServeNext) -> None:
        """Rehearse, and learn what a call writes to. Calls are slower if that fails, and say what is wrong."""
        try:
            runtime_rehearsal.rehearse(REHEARSALS)
            self._pages = working_set.learn(lambda: runtime_rehearsal.rehearse(1))
        except Exception as error:
            print(f"teemate-zygote: the rehearsal failed: {type(error).__name__}: {error}", file=sys.stderr)

    def get_ready(self) -> None:
        working_set.copy(self._pages)

    def on_taken(self) -> None:
        """Nothing: the daemon expects a container when it is asked for a lease, which most calls do not do."""

    def answer(self, call: Call, connection: socket.socket, caller: int) -> None:
        """Run the command, and let go of all that is the caller's before it is told."""
        callers.adopt_environment(call.environment)
        status: int | None = None
        with FrontExecutor(connection, caller) as executor, contextlib.suppress(FrontHasLeft):
            status = run_command(call.arguments, f"{sys.prefix}/lib/teemate", executor)
        sys.stdout.flush()
        sys.stderr.flush()
        for number, own in enumerate(self._own_streams):
            os.dup2(own, number)
        os.chdir("/")
        if status is not None:
            send_done(connection, status)
