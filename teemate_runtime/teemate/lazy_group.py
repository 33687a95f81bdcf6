"""Command groups that import a subcommand when it is called: `teemate ps` does not pay for `doctor`."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import click

from teemate_runtime.teemate.errors import CommandError


class LazyGroup(click.Group):
    """`modules` maps a command's name to the module whose `command` it is."""

    def __init__(self, *args: Any, modules: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        found = importlib.import_module(f"teemate_runtime.teemate.commands.{module}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._modules and not name.startswith("-"):
            close = difflib.get_close_matches(name, self._modules, n=1)
            remedy = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(self._modules)}"
            raise CommandError(f"no such command: {name}", remedy=remedy)
        return super().resolve_command(ctx, args)
