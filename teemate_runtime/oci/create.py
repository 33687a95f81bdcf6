"""create: a container whose init is the mate, waiting for start, with its lease bound to it."""

from __future__ import annotations

from teemate_runtime.oci import pid_file
from teemate_runtime.oci.attach import Refused
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import run_child
from teemate_runtime.oci.failure import DelegateFailed, Failure
from teemate_runtime.oci.options import container_id, parse
from teemate_runtime.oci.prepare import CREATE_OPTIONS, Prepared, prepare


def main(context: Context) -> int:
    options = parse(context.words, CREATE_OPTIONS, command="create")
    container = container_id(options, command="create")
    return create(context, prepare(context, options, container), container, options.value("pid-file"))


def create(context: Context, prepared: Prepared, container: str, wanted_pid_file: str | None) -> int:
    """Create from a prepared bundle, and bind. On failure nothing of it is left."""
    path = wanted_pid_file or prepared.bundle.own_pid_file
    words = ["create", *prepared.words, f"--pid-file={path}", container]
    try:
        status = run_child(context, words, redirections=prepared.redirections)
        if status:
            raise DelegateFailed(status)
        try:
            prepared.bundle.restore()
            if prepared.lease:
                prepared.lease.bind(pid_file.read(path))
        except BaseException as error:
            run_child(context, ["delete", "--force", container], quiet=True)
            pid_file.remove(path)
            if isinstance(error, Refused):
                raise Failure(f"the lease of container {container} cannot be bound", cause=str(error)) from None
            raise
    finally:
        if not wanted_pid_file:
            pid_file.remove(path)
        prepared.close()
    return 0
