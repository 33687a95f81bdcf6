"""delete: the delegate's, then tell the daemon, so that the lease has ended when delete returns."""

from __future__ import annotations

from teemate_runtime.oci import log
from teemate_runtime.oci.attach import Connection, Refused
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import run_child
from teemate_runtime.oci.failure import DelegateFailed, Failure
from teemate_runtime.oci.lease import container_name
from teemate_runtime.oci.options import container_id, parse
from teemate_runtime.oci.phrases import relay


def main(context: Context) -> int:
    options = parse(context.words, {"force": False, "f": "force"}, command="delete")
    container = container_id(options, command="delete")
    words = ["delete", *options.command_line(), container]
    if context.delegate_is_crun:
        relay(context, words)
    elif status := run_child(context, words):
        raise DelegateFailed(status)
    _release(context, container_name(context.root, container))
    return 0


def _release(context: Context, name: str) -> None:
    """The lease ends with its process anyway: a daemon that is down is no reason to fail."""
    try:
        connection = Connection(context.settings.attach_socket)
        try:
            connection.ask_to_release(name)
            connection.receive_release()
        finally:
            connection.close()
    except (Refused, Failure) as error:
        log.warning(context.options, f"the lease of {name} was not released, it ends with its process: {error}")
