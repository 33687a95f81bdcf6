"""What a zygote is for: the program whose calls its children answer."""

import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

from zygote.protocol import Call


class ServeNext(Protocol):
    """Has one call taken by a child. False if something `watched` became readable before."""

    def __call__(self, listener: socket.socket, *watched: socket.socket) -> bool: ...


class Program(NamedTuple):
    """What a zygote's children do."""

    number: int
    # Answers one call on its connection, in the place of the caller with that process id.
    answer: Callable[[Call, socket.socket, int], None]
    # What a child does while it waits for its first call.
    get_ready: Callable[[], None]
    # What the zygote does when a child has taken a call.
    on_taken: Callable[[], None]
    # What the zygote does last before it serves; the function it is given has one call taken.
    prepare: Callable[[ServeNext], None]
    # Whether a child that has answered has nothing of its caller any more, and may answer another.
    is_reusable: bool
