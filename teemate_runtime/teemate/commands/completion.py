"""teemate completion: the shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

INSTALLATION = {
    "bash": "teemate completion bash > /etc/bash_completion.d/teemate",
    "zsh": "teemate completion zsh > /usr/local/share/zsh/site-functions/_teemate",
    "fish": "teemate completion fish > /etc/fish/completions/teemate.fish",
}
_EXAMPLES = "\n\n".join(f"  {line}" for line in INSTALLATION.values())


@click.command(help=f"Print the completion script of a shell.\n\nExamples:\n\n{_EXAMPLES}")
@click.argument("shell", type=click.Choice(tuple(INSTALLATION)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "teemate", "_TEEMATE_COMPLETE").source())
