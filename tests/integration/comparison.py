"""The same container with runc and with TeeMate: what the user sees must be the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import CompletedProcess

from tests.harness.stack import Stack

# Fixed, since both runs print it.
FIXED = ("--hostname=box",)


@dataclass(frozen=True)
class Outcome:
    status: int  # 128 + n when signal n ended it
    output: bytes
    errors: bytes

    @classmethod
    def of(cls, done: CompletedProcess[bytes]) -> Outcome:
        return cls(status=done.returncode, output=done.stdout, errors=done.stderr)


@functools.cache
def native(
    stack: Stack, image: str, command: tuple[str, ...], options: tuple[str, ...] = (), stdin: bytes | None = None
) -> Outcome:
    """The reference: the same image, command and options with plain runc."""
    name = stack.docker_image(image)
    return Outcome.of(stack.docker.run(name, *command, runtime="runc", options=(*FIXED, *options), stdin=stdin))


def protected(
    stack: Stack,
    image: str,
    command: Sequence[str],
    options: Sequence[str] = (),
    stdin: bytes | None = None,
    runtime: str = "teemate",
) -> Outcome:
    name = stack.docker_image(image)
    return Outcome.of(stack.docker.run(name, *command, runtime=runtime, options=(*FIXED, *options), stdin=stdin))


def assert_same(
    stack: Stack,
    image: str,
    *command: str,
    options: tuple[str, ...] = (),
    stdin: bytes | None = None,
    runtime: str = "teemate",
) -> Outcome:
    expected = native(stack, image, command, options, stdin)
    seen = protected(stack, image, command, options, stdin, runtime)
    assert seen == expected
    return seen
