"""teemate lease inspect"""

from __future__ import annotations

import click

from teemate_runtime.teemate.output import output_option, show_value
from teemate_runtime.teemate.session import Session


@click.command()
@click.argument("number", metavar="LEASE", type=click.IntRange(min=0))
@output_option
@click.pass_obj
def command(session: Session, number: int, form: str) -> None:
    """Show one lease.

    \b
    Example:
      teemate lease inspect 17
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record

    with HostClient(session) as client:
        show_value(record(client.lease(number)), form=form)
