"""A call of `containerd-shim-teemate-v2`: the child that answers `start` is already the shim."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from shim import action
from zygote import caller as callers
from zygote.protocol import Call

# Of the caller's environment only this is the shim's business.
_KEPT = (
    "PATH",
    "TEEMATE_HOST",
    "TEEMATE_RUNTIME_CONFIG",
    "TTRPC_ADDRESS",
    "GRPC_ADDRESS",
)


def answer(call: Call, caller: int, *, done: Callable[[int], None]) -> None:
    """Answer by `done`, and serve for as long as there are containers if that is what was asked for."""
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
    done(outcome.status)
    if outcome.service is not None:
        outcome.service.serve()
