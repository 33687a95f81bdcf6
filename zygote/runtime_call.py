"""A call of `teemate-runtime`: done here, but for the delegate, which the front executes."""

import socket
import sys

# What a command imports when it needs it, imported before the fork.
from teemate_runtime.oci import checkpoint, create, delete, exec, kill, run, version  # noqa: F401
from teemate_runtime.oci.main import run as run_command
from zygote import runtime_rehearsal, working_set
from zygote.front_executor import FrontExecutor
from zygote.protocol import Call, send_done
from zygote.resident import ServeNext

# Python 3.11 specialises code at its eighth execution.
REHEARSALS = 10


class RuntimeCall:
    """What the runtime's zygote and its children do."""

    def __init__(self) -> None:
        self._pages: list[working_set.Range] = []

    def prepare(self, _serve_next: ServeNext) -> None:
        """Rehearse, and learn what a call writes to. Calls are slower if that fails, and say what is wrong."""
        try:
            runtime_rehearsal.rehearse(REHEARSALS)
            self._pages = working_set.learn(lambda: runtime_rehearsal.rehearse(1))
        except Exception as error:
            print(f"teemate-zygote: the rehearsal failed: {type(error).__name__}: {error}", file=sys.stderr)

    def get_ready(self) -> None:
        working_set.copy(self._pages)

    def answer(self, call: Call, connection: socket.socket, caller: int) -> None:
        """Run the command. Does not return when the front is to become the delegate."""
        executor = FrontExecutor(connection, caller)
        status = run_command(call.arguments, f"{sys.prefix}/lib/teemate", executor)
        sys.stdout.flush()
        sys.stderr.flush()
        send_done(connection, status)
