"""The one exception of the runtime: fact, cause, remedy, and the exit status that goes with it."""

from __future__ import annotations


class Failure(Exception):
    """Something the user can act on. `fact` may hold a phrase that callers match: it is never reworded."""

    def __init__(self, fact: str, *, cause: str = "", remedy: str = "", status: int = 1) -> None:
        super().__init__(fact)
        self.fact = fact
        self.cause = cause
        self.remedy = remedy
        self.status = status

    def __str__(self) -> str:
        text = self.fact
        if self.cause:
            text += f": {self.cause}"
        if self.remedy:
            text += f" ({self.remedy})"
        return text


class DelegateFailed(Exception):
    """The delegate failed and has said why itself, on stderr and as the last error of the log: add nothing to it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the delegate ended with status {status}")
        self.status = status


def nearest(word: str, known: tuple[str, ...]) -> str:
    """Name the known word that `word` was probably meant to be, or all of them."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "known: " + ", ".join(known)
