"""teemate pool inspect"""

from __future__ import annotations

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.output import output_option, show_value
from teemate_runtime.teemate.session import Session


@click.command()
@click.argument("name", shell_complete=pool_names)
@output_option
@click.pass_obj
def command(session: Session, name: str, form: str) -> None:
    """Show all there is to know about one pool.

    \b
    Examples:
      teemate pool inspect default
      teemate pool inspect default -o json | jq -r .mrenclave
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record

    with HostClient(session) as client:
        show_value(record(client.pool(name)), form=form)
