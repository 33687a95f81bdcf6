"""Run the delegate, runc or crun: in our place, as a child, or for its output."""

from __future__ import annotations

import os

from teemate_runtime.oci.context import Context
from teemate_runtime.oci.executor import Redirections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from teemate_runtime.oci.executor import Beside


def _arguments(context: Context, words: list[str], *, quiet: bool = False) -> list[str]:
    return [context.delegate, *context.global_words(quiet=quiet), *words]


def replace_by(
    context: Context, words: list[str], *, redirections: Redirections | None = None, beside: Beside | None = None
) -> None:
    """Become the delegate. Does not return."""
    context.executor.become(context.delegate, _arguments(context, words), redirections or [], beside)


def run_child(
    context: Context, words: list[str], *, redirections: Redirections | None = None, quiet: bool = False
) -> int:
    """Run the delegate as a child; its exit status as a shell would give it."""
    return context.executor.run(context.delegate, _arguments(context, words, quiet=quiet), redirections or [])


def output(context: Context, words: list[str]) -> tuple[int, bytes, bytes]:
    """Run the delegate for its output: status, stdout, stderr."""
    captured = []
    for name in ("stdout", "stderr"):
        captured.append(os.memfd_create(f"delegate-{name}"))
    try:
        status = run_child(context, words, redirections=[(captured[0], 1), (captured[1], 2)], quiet=True)
        texts = [os.pread(memfd, os.fstat(memfd).st_size, 0) for memfd in captured]
    finally:
        for memfd in captured:
            os.close(memfd)
    return status, texts[0], texts[1]
