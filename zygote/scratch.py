"""A directory for a rehearsal, removed after it, also when the zygote is told to end meanwhile."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def scratch_directory() -> Iterator[str]:
    """Its name. Not by an exception from the signal's handler: there is code that would take it for its own failure."""
    name = tempfile.mkdtemp(prefix="teemate-rehearsal-")

    def end(*_: object) -> None:
        shutil.rmtree(name, ignore_errors=True)
        os._exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield name
    finally:
        shutil.rmtree(name, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)  # not before it has gone
