"""Closing what a container has a hand in.

The last close of a file may wait: a TCP socket with SO_LINGER for its peer, a file of FUSE for its server. And a unix
socket takes the descriptors that lie unread in its queue along. A container sends us such things by its lease channel,
so they are never closed in the daemon's loop, nor left to the kernel to drop there.
"""

import os
import threading
from collections.abc import Callable, Sequence

CLOSING_THREAD = "close"


def close_aside(descriptors: Sequence[int], done: Callable[[], None] | None = None) -> None:
    """Close them in a thread of their own, however long it takes; then call `done` there."""

    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        if done is not None:
            done()

    if descriptors:
        threading.Thread(target=close, name=CLOSING_THREAD, daemon=True).start()
