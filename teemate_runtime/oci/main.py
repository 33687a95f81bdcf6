"""The entry: which command is it, and who does it.

Modules are imported by the branch that needs them: `state` must not pay for `create`.
"""

from __future__ import annotations

import os
import sys

from teemate_runtime.oci.context import Context, parse_context
from teemate_runtime.oci.failure import DelegateFailed, Failure, nearest

# Nothing of ours is left to do for these: the delegate takes our place, and reads its options itself.
_DELEGATED = ("events", "list", "pause", "ps", "resume", "spec", "start", "state", "update")
_OURS = ("checkpoint", "create", "delete", "exec", "features", "kill", "restore", "run")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from teemate_runtime.oci.executor import Executor

_HELP = """usage: teemate-runtime [--root DIR] [--log FILE] [--log-format json|text] [--debug] [--systemd-cgroup]
                       [--pool NAME] [--host DIR] COMMAND [OPTION...] [ARGUMENT...]

The OCI runtime of TeeMate: runs a container's processes inside a shared enclave, and leaves namespaces,
cgroups and the rest to runc or crun, whose options its commands take.

commands done here:      create, run, exec, delete, kill, features
commands of the delegate: start, state, ps, list, events, update, pause, resume, spec
refused:                 checkpoint, restore

  --pool NAME   pool of containers without the annotation io.teemate.pool
  --host DIR    run directory of teemate-hostd (default: TEEMATE_HOST, then `host` in runtime.yaml)

settings: /etc/teemate/runtime.yaml, or the file that TEEMATE_RUNTIME_CONFIG names
"""


def main(words: list[str], library: str) -> None:
    """Run one command. Ends the process without the interpreter's own farewell, which takes a millisecond."""
    status = 1
    try:
        status = run(words, library)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def run(words: list[str], library: str, executor: Executor | None = None) -> int:
    """Run one command; its exit status."""
    context: Context | None = None
    try:
        context = parse_context(words, library=library, executor=executor)
        return _dispatch(context)
    except DelegateFailed as failure:
        return failure.status
    except Failure as failure:
        _report(context, str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if context and context.options.flag("debug"):
            import traceback

            traceback.print_exc()
        _report(context, f"internal error: {type(error).__name__}: {error}")
        return 1


def _report(context: Context | None, text: str) -> None:
    from teemate_runtime.oci import log

    log.error(context.options if context else None, text)


def _dispatch(context: Context) -> int:
    command = context.command
    if context.options.flag("version"):
        from teemate_runtime.oci.version import version

        return version(context)
    if context.options.flag("help") or command in ("", "help"):
        sys.stdout.write(_HELP)
        return 0
    if command in _DELEGATED:
        from teemate_runtime.oci.delegate import replace_by

        replace_by(context, [command, *context.words])
    if command == "features":
        from teemate_runtime.oci.version import features

        return features(context)
    if command in _OURS:
        return _command_main(command)(context)
    raise Failure(f"unknown command {command!r}", remedy=nearest(command, _DELEGATED + _OURS))


def _command_main(command: str) -> Callable[[Context], int]:
    if command == "create":
        from teemate_runtime.oci.create import main
    elif command == "run":
        from teemate_runtime.oci.run import main
    elif command == "exec":
        from teemate_runtime.oci.exec import main
    elif command == "delete":
        from teemate_runtime.oci.delete import main
    elif command == "kill":
        from teemate_runtime.oci.kill import main
    else:
        from teemate_runtime.oci.checkpoint import main
    return main
