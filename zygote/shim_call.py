"""A call of `containerd-shim-teemate-v2`: the child that answers `start` is already the shim."""

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from enclave_host.cgroup_migration import pass_grace_period
from shim import action
from shim.serve import Grounds
from zygote import caller as callers
from zygote import model, working_set
from zygote.child import set_name
from zygote.expected_groups import ExpectedGroups
from zygote.memory import MemoryTemplate, TemplateError
from zygote.program import ServeNext
from zygote.protocol import Call, send_done
from zygote.resident import listen

# Of the caller's environment only this is the shim's business.
_KEPT = (b"PATH", b"TEEMATE_HOST", b"TEEMATE_RUNTIME_CONFIG", b"TTRPC_ADDRESS", b"GRPC_ADDRESS")


class ShimCall:
    """What the zygote's children have in common: the memory template, and the pages that a call writes to."""

    def __init__(self) -> None:
        self._memory: MemoryTemplate | None = None
        self._pages: list[working_set.Range] = []
        self._grounds: Grounds | None = None
        self._expected_groups = ExpectedGroups()

    def prepare(self, serve_next: ServeNext) -> None:
        """Before the first call, in the zygote."""
        try:
            self._memory = MemoryTemplate()
            # Not those of a rehearsal: a page that is copied and not written to could not be given back.
            self._pages = working_set.joined(model.make_template(self._memory, listen, serve_next))
        except (TemplateError, OSError) as error:
            print(f"teemate-zygote: shims will share less memory: {error}", file=sys.stderr)

    def get_ready(self) -> None:
        """In a child that has to wait for its call."""
        working_set.copy(self._pages)
        with contextlib.suppress(OSError, ValueError):
            self._expected_groups.join()
        self._grounds = Grounds()
        if self._memory is not None:
            self._memory.wait()

    def on_taken(self) -> None:
        """In the zygote: the lease, at which the daemon expects a container, comes too late for all of that time."""
        with contextlib.suppress(OSError):  # the daemon, which writes to the same files, logs it
            pass_grace_period()

    def answer(self, call: Call, connection: socket.socket, caller: int) -> None:
        """Do what was asked for, and if that is `start`, serve for as long as there are containers."""
        callers.adopt_environment({name: call.environment[name] for name in _KEPT if name in call.environment})
        if self._grounds is None:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the zygote ignores it, and then no child can be waited for
        outcome = action.perform(call.arguments, environment=os.environ, directory=Path(call.directory))
        if outcome.errors:
            os.write(2, outcome.errors.encode())
        if outcome.output:
            os.write(1, outcome.output)
        if outcome.service is not None:
            callers.adopt_limits(caller)
            self._expected_groups.note(callers.adopt_groups(caller))
            outcome.service.leave_streams()
        send_done(connection, outcome.status)
        connection.close()
        if outcome.service is None:
            return
        outcome.service.detach()
        if self._memory is None:
            outcome.service.serve(grounds=self._grounds)
            return
        if self._memory.in_model:
            self._memory.be_model()
            set_name(b"teemate-model")
        outcome.service.serve(at_rest=self._memory.settle, grounds=self._grounds)
