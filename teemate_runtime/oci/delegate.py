"""Run the delegate, runc or crun: in our place, beside us, or for its output."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports enum
import os

from teemate_runtime.oci.context import Context
from teemate_runtime.oci.failure import Failure

# Python ignores these two at its start, and the delegate would inherit that.
_DEFAULTED = (_signal.SIGPIPE, _signal.SIGXFSZ)
_FORWARDED = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)

Redirection = list[tuple[int, int]]


def environment() -> dict[str, str]:
    """Ours, without socket activation: those descriptors are not passed on, see create."""
    return {key: value for key, value in os.environ.items() if key not in ("LISTEN_FDS", "LISTEN_PID")}


def replace_by(context: Context, words: list[str], *, redirections: Redirection | None = None) -> None:
    """Become the delegate. Does not return."""
    for source, target in redirections or []:
        os.dup2(source, target, inheritable=True)
    for number in _DEFAULTED:
        _signal.signal(number, _signal.SIG_DFL)
    path = context.delegate
    try:
        os.execve(path, [path, *context.global_words(), *words], environment())
    except OSError as error:
        raise _not_executable(path, error) from None


def _not_executable(path: str, error: OSError) -> Failure:
    return Failure(f"{path} cannot be executed", cause=error.strerror or str(error), remedy="check `delegate`")


class Child:
    """The delegate as our child. A signal to us is passed on to it, and it decides."""

    __slots__ = ("pid",)

    def __init__(
        self, context: Context, words: list[str], *, redirections: Redirection | None = None, quiet: bool = False
    ) -> None:
        path = context.delegate
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in redirections or []]
        arguments = [path, *context.global_words(quiet=quiet), *words]
        try:
            self.pid = os.posix_spawn(
                path, arguments, environment(), file_actions=actions, setsigdef=[*_DEFAULTED, *_FORWARDED]
            )
        except OSError as error:
            raise _not_executable(path, error) from None
        for number in _FORWARDED:
            if _signal.getsignal(number) is not _signal.SIG_IGN:
                _signal.signal(number, self._forward)

    def _forward(self, number: int, _frame: object) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit status as a shell would give it."""
        _, status = os.waitpid(self.pid, 0)
        for number in _FORWARDED:
            if _signal.getsignal(number) is not _signal.SIG_IGN:
                _signal.signal(number, _signal.SIG_DFL)
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code


def output(context: Context, words: list[str]) -> tuple[int, bytes, bytes]:
    """Run the delegate for its output: status, stdout, stderr."""
    captured = []
    for name in ("stdout", "stderr"):
        captured.append(os.memfd_create(f"delegate-{name}"))
    try:
        status = Child(context, words, redirections=[(captured[0], 1), (captured[1], 2)], quiet=True).wait()
        texts = [os.pread(memfd, os.fstat(memfd).st_size, 0) for memfd in captured]
    finally:
        for memfd in captured:
            os.close(memfd)
    return status, texts[0], texts[1]
