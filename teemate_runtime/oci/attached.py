"""Processes that the delegate stays with: `run` and `exec` without --detach.

The delegate takes our place, so that terminal, signals and exit status are its own affair and cost nothing. What is
left to do once the process exists (bind the lease to it, give config.json its bytes back) is done beside it, by
watching for the pid file.
"""

from __future__ import annotations

import errno
import os

from teemate_runtime.oci import log, pid_file
from teemate_runtime.oci.attach import Refused
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import replace_by
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.lease import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from teemate_runtime.oci.executor import Redirections

_SIGKILL = 9


def run_attached(
    context: Context,
    words: list[str],
    *,
    lease: Lease | None,
    redirections: Redirections,
    wanted_pid_file: str | None,
    own_pid_file: str,
    clean_up: Callable[[], None],
) -> None:
    """Become `delegate WORDS`. Does not return. `clean_up` is called once the delegate has read what it needs."""
    path = wanted_pid_file or own_pid_file
    pid_file.remove(path)

    def watch(delegate: int | None) -> None:
        try:
            _watch(context, delegate, lease, path, remove=not wanted_pid_file, clean_up=clean_up)
        except Exception as error:
            log.error(context.options, str(error))

    replace_by(context, words, redirections=redirections, beside=watch)


def _watch(
    context: Context,
    delegate: int | None,
    lease: Lease | None,
    path: str,
    *,
    remove: bool,
    clean_up: Callable[[], None],
) -> None:
    try:
        if delegate is None or not pid_file.wait(path, delegate) or not lease:
            return
        process = pid_file.read(path)
        try:
            lease.bind(process)
        except (Refused, Failure) as error:
            if isinstance(error, Refused) and error.code == errno.ESRCH:
                return  # it has run and ended already
            log.error(context.options, f"the lease cannot be bound, the process is killed: {error}")
            os.kill(process, _SIGKILL)
    finally:
        if remove:
            pid_file.remove(path)
        clean_up()
