"""Noticing that a shim has nothing to do, which is most of its life."""

import asyncio
from collections.abc import Callable

# Longer than the pauses between the calls of a container's start or of an exec.
QUIET_SECONDS = 0.5


class Rest:
    """Calls `at_rest` in the loop once nothing has stirred for QUIET_SECONDS; again after the next stir."""

    def __init__(self, at_rest: Callable[[], None]) -> None:
        self._at_rest = at_rest
        self._loop = asyncio.get_running_loop()
        self._last_stir = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def stir(self) -> None:
        """Something has happened. Cheap: the timer that runs is left alone."""
        self._last_stir = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(QUIET_SECONDS, self._look)

    def _look(self) -> None:
        quiet = self._loop.time() - self._last_stir
        if quiet < QUIET_SECONDS:
            self._timer = self._loop.call_later(QUIET_SECONDS - quiet, self._look)
            return
        self._timer = None
        self._at_rest()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
