"""teemate pool ls"""

from __future__ import annotations

import click

from teemate_runtime.teemate.output import output_option, show
from teemate_runtime.teemate.session import Session


@click.command()
@output_option
@click.pass_obj
def command(session: Session, form: str) -> None:
    """List the pools.

    \b
    Examples:
      teemate pool ls
      teemate pool ls -o json | jq '.[] | select(.free == 0) | .name'
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.pool_view import COLUMNS, row

    with HostClient(session) as client:
        show([row(pool) for pool in client.pools()], COLUMNS, form=form)
