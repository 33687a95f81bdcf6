"""What goes wrong for an operator: fact, cause, remedy. Rendered once, in __main__."""

from __future__ import annotations

import click


class CommandError(click.ClickException):
    """Exit status 1 and one line per part on stderr."""

    exit_code = 1

    def __init__(self, fact: str, *, cause: str = "", remedy: str = "") -> None:
        super().__init__(fact)
        self.cause = cause
        self.remedy = remedy

    def format_message(self) -> str:
        text = self.message
        if self.cause:
            text += f"\n  cause:  {self.cause}"
        if self.remedy:
            text += f"\n  remedy: {self.remedy}"
        return text
