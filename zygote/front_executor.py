"""The executor that lets a front execute the delegate, so that it is the caller's own child."""

import os
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from teemate_runtime.oci.executor import Executor, Redirections, not_executable
from zygote.protocol import ENDED, EXEC, FAILED, SPAWN, receive_report, send_order

if TYPE_CHECKING:
    from teemate_runtime.oci.executor import Beside


class FrontHasLeft(BaseException):
    """The front has become the delegate: there is nobody left to answer. No error, so nobody else's to catch."""


class FrontExecutor(Executor):
    """Orders to one front. When the front disappears this process ends at once.

    That leaves what killing teemate-runtime would leave: a lease that returns with our connection, and a config.json
    that the next create puts right. More must not be undone here, since the delegate may still be reading it.
    """

    def __init__(self, connection: socket.socket, process_id: int) -> None:
        self._connection = connection
        self._process_id = process_id
        self._pidfd = os.pidfd_open(process_id)

    def __enter__(self) -> "FrontExecutor":
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._pidfd)

    @property
    def process_id(self) -> int:
        return self._process_id

    def run(self, path: str, arguments: list[str], redirections: Redirections) -> int:
        sys.stdout.flush()
        send_order(self._connection, SPAWN, path, arguments, redirections)
        kind, number = receive_report(self._connection)
        if kind == ENDED:
            return number
        if kind == FAILED:
            raise not_executable(path, number)
        os._exit(1)

    def become(self, path: str, arguments: list[str], redirections: Redirections, beside: "Beside | None") -> NoReturn:
        sys.stdout.flush()
        send_order(self._connection, EXEC, path, arguments, redirections)
        kind, number = receive_report(self._connection)
        if beside:
            beside(None if kind == FAILED else self._pidfd)
        if kind == FAILED:
            raise not_executable(path, number)
        raise FrontHasLeft
