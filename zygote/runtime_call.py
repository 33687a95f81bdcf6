"""A call of `teemate-runtime`: done here, but for the delegate, which the front executes."""

import socket
import sys

# What a command imports when it needs it, imported before the fork.
from teemate_runtime.oci import checkpoint, create, delete, exec, kill, run, version  # noqa: F401
from teemate_runtime.oci.main import run as run_command
from zygote.front_executor import FrontExecutor
from zygote.protocol import Call, send_done


def answer(call: Call, connection: socket.socket, caller: int) -> None:
    """Run the command. Does not return when the front is to become the delegate."""
    executor = FrontExecutor(connection, caller)
    status = run_command(call.arguments, f"{sys.prefix}/lib/teemate", executor)
    sys.stdout.flush()
    sys.stderr.flush()
    send_done(connection, status)
