"""teemate ps"""

from __future__ import annotations

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.output import output_option, show
from teemate_runtime.teemate.session import Session


@click.command()
@click.option("--pool", default="", shell_complete=pool_names, help="Only those of this pool.")
@click.option("--container", default="", help="Only those of this container.")
@output_option
@click.pass_obj
def command(session: Session, pool: str, container: str, form: str) -> None:
    """List the processes that run in enclaves.

    EPC is the enclave memory of the process, OUTSIDE its share of ordinary memory.

    \b
    Examples:
      teemate ps
      teemate ps --pool default -o json
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.process_view import COLUMNS, row

    with HostClient(session) as client:
        show([row(lease) for lease in client.leases(pool=pool, container=container)], COLUMNS, form=form)
