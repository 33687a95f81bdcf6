"""A call of `containerd-shim-teemate-v2`: the child that answers `start` is already the shim."""

import os
import signal
import socket
from pathlib import Path

from shim import action
from zygote import caller as callers
from zygote.protocol import Call, send_done

# Of the caller's environment only this is the shim's business.
_KEPT = ("PATH", "TEEMATE_HOST", "TEEMATE_RUNTIME_CONFIG", "TTRPC_ADDRESS", "GRPC_ADDRESS")


def answer(call: Call, connection: socket.socket, caller: int) -> None:
    """Do what was asked for, and if that is `start`, serve for as long as there are containers."""
    for name in os.environ.keys() - set(_KEPT):
        del os.environ[name]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    outcome = action.perform(call.arguments, environment=os.environ, directory=Path(call.directory))
    if outcome.errors:
        os.write(2, outcome.errors.encode())
    if outcome.output:
        os.write(1, outcome.output)
    if outcome.service is not None:
        callers.adopt_limits(caller)
        callers.adopt_cgroup(caller)
        outcome.service.detach()
    send_done(connection, outcome.status)
    connection.close()
    if outcome.service is not None:
        outcome.service.serve()
