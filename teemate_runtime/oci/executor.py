"""Who executes the delegate: this process, or one that has asked it to (zygote/)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports enum
import os

from teemate_runtime.oci.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # What runs beside the delegate; it is given the delegate's pidfd, or None if there is none after all.
    Beside = Callable[[int | None], None]

# (descriptor, number that it gets in the delegate)
Redirections = list[tuple[int, int]]

# Python ignores these two at its start, and the delegate would inherit that.
_DEFAULTED = (_signal.SIGPIPE, _signal.SIGXFSZ)
_FORWARDED = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP)


class Executor:
    """The process that was executed as `teemate-runtime`: it has the caller's terminal, descriptors and parent."""

    __slots__ = ()

    @property
    def process_id(self) -> int:
        raise NotImplementedError

    def run(self, path: str, arguments: list[str], redirections: Redirections) -> int:
        """Run a program as its child; the exit status as a shell would give it. Signals to it are passed on."""
        raise NotImplementedError

    def become(self, path: str, arguments: list[str], redirections: Redirections, beside: Beside | None) -> None:
        """Let it become a program. Does not return. `beside` runs meanwhile, in another process, and does so
        even if this raises Failure.
        """
        raise NotImplementedError


def not_executable(path: str, number: int | None) -> Failure:
    return Failure(f"{path} cannot be executed", cause=os.strerror(number or 0), remedy="check `delegate`")


def _environment() -> dict[str, str]:
    """Ours, without socket activation: those descriptors are not passed on, see prepare."""
    return {key: value for key, value in os.environ.items() if key not in ("LISTEN_FDS", "LISTEN_PID")}


class Local(Executor):
    """It is this process."""

    __slots__ = ("_child",)

    def __init__(self) -> None:
        self._child = 0

    @property
    def process_id(self) -> int:
        return os.getpid()

    def run(self, path: str, arguments: list[str], redirections: Redirections) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in redirections]
        try:
            self._child = os.posix_spawn(
                path, arguments, _environment(), file_actions=actions, setsigdef=[*_DEFAULTED, *_FORWARDED]
            )
        except OSError as error:
            raise not_executable(path, error.errno) from None
        forwarded = [number for number in _FORWARDED if _signal.getsignal(number) is not _signal.SIG_IGN]
        for number in forwarded:
            _signal.signal(number, self._forward)
        _, status = os.waitpid(self._child, 0)
        for number in forwarded:
            _signal.signal(number, _signal.SIG_DFL)
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def _forward(self, number: int, _frame: object) -> None:
        os.kill(self._child, number)

    def become(self, path: str, arguments: list[str], redirections: Redirections, beside: Beside | None) -> None:
        if beside:
            _fork_beside(beside)
        for source, target in redirections:
            os.dup2(source, target, inheritable=True)
        for number in _DEFAULTED:
            _signal.signal(number, _signal.SIG_DFL)
        try:
            os.execve(path, arguments, _environment())
        except OSError as error:
            raise not_executable(path, error.errno) from None


def _fork_beside(beside: Beside) -> None:
    delegate = os.pidfd_open(os.getpid())
    try:
        child = os.fork()
    except OSError as error:
        raise Failure("cannot fork", cause=error.strerror or str(error)) from None
    if child == 0:
        try:
            os.setsid()  # a terminal's SIGINT is for the delegate
            beside(delegate)
        finally:
            os._exit(0)  # a forked child must not run into its parent's code
    os.close(delegate)
