"""teemate pool delete"""

from __future__ import annotations

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.session import Session


@click.command()
@click.argument("name", shell_complete=pool_names)
@click.pass_obj
def command(session: Session, name: str) -> None:
    """Delete a pool that has no leases and is not of the configuration file.

    \b
    Example:
      teemate pool drain blue && teemate pool delete blue
    """
    from teemate_runtime.teemate.client import HostClient

    with HostClient(session) as client:
        client.delete_pool(name)
