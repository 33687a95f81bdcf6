"""The pid file that the delegate writes: the only way to learn the process id in time."""

from __future__ import annotations

import os

from teemate_runtime.oci.failure import Failure

# inotify would tell at once, but to close it takes the kernel as long as a container's start.
_POLL_MILLISECONDS = 1


def wait(path: str, delegate: int) -> bool:
    """Wait until it is written. False if the delegate, given as a pidfd, has ended without."""
    import select

    poller = select.poll()
    poller.register(delegate, select.POLLIN)
    while not _is_written(path):
        if poller.poll(_POLL_MILLISECONDS):
            return _is_written(path)  # between the two questions it may have written the file and ended
    return True


def _is_written(path: str) -> bool:
    """crun makes the file first and writes to it then."""
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


def read(path: str) -> int:
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(32)
    except OSError as error:
        raise Failure("the delegate wrote no pid file", cause=f"{path}: {error.strerror}") from None
    if not text.strip().isdigit() or int(text) <= 1:
        raise Failure(f"the pid file {path} holds no process id", cause=repr(text))
    return int(text)


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
