"""exec: a further process in a container, inside the enclave by a lease of its own."""

from __future__ import annotations

import errno
import os

from teemate_runtime.oci import annotation, pid_file, strict_json
from teemate_runtime.oci.attach import Refused
from teemate_runtime.oci.attached import run_attached
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import output, replace_by, run_child
from teemate_runtime.oci.failure import DelegateFailed, Failure
from teemate_runtime.oci.lease import FIRST_DESCRIPTOR, Lease
from teemate_runtime.oci.options import Options, Table, checked_id, parse
from teemate_runtime.oci.phrases import explained
from teemate_runtime.oci.prepare import lease_or_leave, preserved_descriptors
from teemate_runtime.oci.wrap import checked_arguments, wrap_process, wrapped

_EXEC_OPTIONS: Table = {
    "console-socket": True,
    "pidfd-socket": True,
    "cwd": True,
    "env": True,
    "e": "env",
    "tty": False,
    "t": "tty",
    "user": True,
    "u": "user",
    "additional-gids": True,
    "g": "additional-gids",
    "process": True,
    "p": "process",
    "detach": False,
    "d": "detach",
    "pid-file": True,
    "process-label": True,
    "apparmor": True,
    "no-new-privs": False,
    "cap": True,
    "c": "cap",
    "preserve-fds": True,
    "cgroup": True,
    "ignore-paused": False,
}
_SIGKILL = 9


def main(context: Context) -> int:
    options = parse(context.words, _EXEC_OPTIONS, command="exec")
    if not options.arguments:
        raise Failure("exec: the container id is missing")
    container = checked_id(options.arguments[0])
    state = _state(context, container)
    ours = annotation.ours(state)
    mate = ours.get(annotation.MATE)
    if mate is None:
        _unprotected(context, container)
    preserved = preserved_descriptors(context, options)
    edited = _EditedCommand(context, options, mate=mate or "", lease_descriptor=FIRST_DESCRIPTOR + preserved)
    try:
        wishes = annotation.wishes(ours, settings=context.settings, pool_option=None)
        lease = lease_or_leave(context, wishes, container=container, process=_process_name(context, options))
        if lease is None:
            _unprotected(context, container)
        assert lease is not None
        return _start(context, options, edited, lease, preserved, container)
    finally:
        edited.remove()


def _state(context: Context, container: str) -> strict_json.Object:
    status, text, complaint = output(context, ["state", container])
    if status:
        raise explained(complaint, status=status)
    return strict_json.parse(text, what="the container's state")


def _unprotected(context: Context, container: str) -> None:
    """Go on without an enclave, if the operator allows it; else raises."""
    if not context.settings.allow_unprotected:
        raise Failure(
            f"container {container} runs outside any enclave, so exec has no enclave to enter",
            cause="it was created by another runtime, or with insecure__allow_unprotected",
        )
    replace_by(context, ["exec", *context.words])


class _EditedCommand:
    """The process to run, behind the mate: in a process.json beside the caller's, or on the command line."""

    __slots__ = ("path", "words")

    def __init__(self, context: Context, options: Options, *, mate: str, lease_descriptor: int) -> None:
        self.path = ""
        self.words = options.command_line(without=("process", "preserve-fds", "pid-file"))
        given = options.value("process")
        if given is None:
            if len(options.arguments) < 2:
                raise Failure("process args cannot be empty", remedy="give a command, or --process FILE")
            program = checked_arguments(options.arguments[1:])
            arguments = wrapped(program, mate=mate, lease_descriptor=lease_descriptor)
            self.words += [options.arguments[0], *arguments]
            return
        process = strict_json.parse(strict_json.read(given, what="process file"), what="process file")
        wrap_process(process, mate=mate, lease_descriptor=lease_descriptor)
        self.path = f"{given}.teemate-{context.executor.process_id}"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(file, "wb") as stream:
                stream.write(strict_json.serialize(process))
        except OSError as error:
            raise Failure(f"{self.path} cannot be written", cause=error.strerror or str(error)) from None
        self.words += [f"--process={self.path}", options.arguments[0]]

    def remove(self) -> None:
        if self.path:
            pid_file.remove(self.path)


def _process_name(context: Context, options: Options) -> str:
    """The exec id: containerd's shim names the pid file after it."""
    name = os.path.basename(options.value("pid-file") or "").removesuffix(".pid")
    return name.encode("ascii", "replace").decode() or f"exec-{context.executor.process_id}"


def _start(
    context: Context, options: Options, edited: _EditedCommand, lease: Lease, preserved: int, container: str
) -> int:
    wanted = options.value("pid-file")
    own = f"{context.settings.host}/.exec-{context.executor.process_id}.pid"
    redirections = lease.actions(FIRST_DESCRIPTOR + preserved)
    words = ["exec", f"--pid-file={wanted or own}", f"--preserve-fds={preserved + lease.size}", *edited.words]
    if not options.flag("detach"):

        def clean_up() -> None:
            edited.remove()
            lease.close()

        run_attached(
            context,
            words,
            lease=lease,
            redirections=redirections,
            wanted_pid_file=wanted,
            own_pid_file=own,
            clean_up=clean_up,
        )
    try:
        status = run_child(context, words, redirections=redirections)
        if status:
            raise DelegateFailed(status)
        _bind(lease, pid_file.read(wanted or own), container)
    finally:
        if not wanted:
            pid_file.remove(own)
        lease.close()
    return 0


def _bind(lease: Lease, process: int, container: str) -> None:
    try:
        lease.bind(process)
    except Refused as refusal:
        if refusal.code == errno.ESRCH:
            return  # it has run and ended already
        os.kill(process, _SIGKILL)
        raise Failure(f"the lease of an exec in {container} cannot be bound", cause=str(refusal)) from None
