"""What create and run share: from a bundle to an edited bundle with a lease."""

from __future__ import annotations

import os
from collections.abc import Callable

from teemate_runtime.oci import annotation, log, seccomp, spec
from teemate_runtime.oci.bundle import Bundle
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.lease import FIRST_DESCRIPTOR, Asked, Lease, container_name
from teemate_runtime.oci.options import Options, Table, count_option

CREATE_OPTIONS: Table = {
    "bundle": True,
    "b": "bundle",
    "console-socket": True,
    "pidfd-socket": True,
    "pid-file": True,
    "no-pivot": False,
    "no-new-keyring": False,
    "detach": False,
    "d": "detach",
    "preserve-fds": True,
}


class Prepared:
    """A locked, edited bundle and, unless the operator allowed to go without, a lease."""

    __slots__ = ("bundle", "lease", "redirections", "words")

    def __init__(self, bundle: Bundle, lease: Lease | None, options: Options, preserved: int) -> None:
        self.bundle = bundle
        self.lease = lease
        self.redirections = lease.actions(FIRST_DESCRIPTOR + preserved) if lease else []
        self.words = options.command_line(without=("bundle", "preserve-fds", "pid-file", "detach"))
        self.words.append(f"--bundle={bundle.path}")
        if preserved or lease:
            self.words.append(f"--preserve-fds={preserved + (lease.size if lease else 0)}")

    def close(self) -> None:
        """Undo: config.json as it was, the lease back in its pool unless it is bound."""
        try:
            self.bundle.close()
        finally:
            if self.lease:
                self.lease.close()


class Opened:
    """A locked bundle that has been checked, and what it wants of a pool."""

    __slots__ = ("_context", "_options", "_preserved", "bundle", "wishes")

    def __init__(self, context: Context, options: Options) -> None:
        self._context = context
        self._options = options
        self._preserved = preserved_descriptors(context, options)
        self.bundle = Bundle(os.path.abspath(options.value("bundle") or "."))
        try:
            given = annotation.ours(self.bundle.config)
            annotation.refuse_unknown(given)
            spec.check(self.bundle.config)
            seccomp.check(self.bundle.config)
            self.wishes = annotation.wishes(given, settings=context.settings, pool_option=context.options.value("pool"))
        except BaseException:
            self.bundle.close()
            raise

    def edit(self) -> None:
        """Put the mate in front. Needs no answer of the daemon, and so can be done before it has come."""
        spec.edit(
            self.bundle.config,
            mate=self._context.settings.mate,
            lease_descriptor=FIRST_DESCRIPTOR + self._preserved,
            pool=self.wishes.pool,
        )
        self.bundle.replace_config()

    def finish(self, lease: Lease | None) -> Prepared:
        """Takes lease and bundle over; on failure they are closed. Without a lease an edit is undone."""
        try:
            if lease is None:
                self.bundle.read_again()
                spec.mark_unprotected(self.bundle.config)
                self.bundle.replace_config()
            return Prepared(self.bundle, lease, self._options, self._preserved)
        except BaseException:
            self.bundle.close()
            if lease:
                lease.close()
            raise


def prepare(context: Context, options: Options, container: str) -> Prepared:
    opened = Opened(context, options)
    try:
        lease = lease_or_leave(context, opened.wishes, container=container, meanwhile=opened.edit)
    except BaseException:
        opened.bundle.close()
        raise
    return opened.finish(lease)


def preserved_descriptors(context: Context, options: Options) -> int:
    """How many descriptors the caller itself passes on: they keep the numbers from 3, the lease comes after them."""
    process_id = context.executor.process_id
    if os.environ.get("LISTEN_PID") == str(process_id) and os.environ.get("LISTEN_FDS", "0") != "0":
        raise Failure(
            "socket activation (LISTEN_FDS) of a container is not supported",
            remedy="pass the descriptors with --preserve-fds",
        )
    preserved = count_option(options, "preserve-fds")
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + preserved):
        if not os.path.lexists(f"/proc/{process_id}/fd/{descriptor}"):
            raise Failure(f"--preserve-fds={preserved}: descriptor {descriptor} is not open")
    return preserved


def lease_or_leave(
    context: Context,
    wishes: annotation.Wishes,
    *,
    container: str,
    process: str = "",
    meanwhile: Callable[[], None] = lambda: None,
) -> Lease | None:
    """A lease. None only if there is none and the operator allows to run the program unprotected all the same.

    `meanwhile` is done once the daemon has been asked, or has failed to be.
    """
    asked = ask_or_leave(context, wishes, container=container, process=process, meanwhile=meanwhile)
    try:
        return asked.receive() if asked else None
    except Failure as failure:
        leave_or_raise(context, container, failure)
        return None


def ask_or_leave(
    context: Context, wishes: annotation.Wishes, *, container: str, process: str, meanwhile: Callable[[], None]
) -> Asked | None:
    """The first half of lease_or_leave(); the second is to receive the lease from what was asked."""
    name = container_name(context.root, container)
    asked = None
    try:
        asked = Asked(context.settings.attach_socket, wishes, container=name, process=process)
    except Failure as failure:
        leave_or_raise(context, container, failure)
    try:
        meanwhile()
    except BaseException:
        if asked:
            asked.connection.close()
        raise
    return asked


def leave_or_raise(context: Context, container: str, failure: Failure) -> None:
    """There is no lease: raise that, unless the operator allows to go without."""
    if not context.settings.allow_unprotected:
        raise failure
    name = container_name(context.root, container)
    log.warning(
        context.options,
        f"container {name} runs UNPROTECTED, outside any enclave, since {context.settings.path} sets"
        f" insecure__allow_unprotected: {failure}",
    )
