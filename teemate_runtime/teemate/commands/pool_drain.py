"""teemate pool drain"""

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
    """Grant no new lease in a pool; its enclaves go with their last one.

    \b
    Examples:
      teemate pool drain blue
      teemate events --pool blue --type enclave.destroyed
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record

    with HostClient(session) as client:
        show_value(record(client.drain_pool(name)), form=form)
