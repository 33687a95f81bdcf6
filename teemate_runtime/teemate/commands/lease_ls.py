"""teemate lease ls"""

from __future__ import annotations

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.output import Column, output_option, show, size
from teemate_runtime.teemate.session import Session


def _or_dash(value: object) -> str:
    return str(value) if value else "-"


@click.command()
@click.option("--pool", default="", shell_complete=pool_names, help="Only those of this pool.")
@click.option("--container", default="", help="Only those of this container.")
@output_option
@click.pass_obj
def command(session: Session, pool: str, container: str, form: str) -> None:
    """List the leases.

    \b
    Examples:
      teemate lease ls
      teemate lease ls --container default/web -o json
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record, short_container

    columns = (
        Column(title="LEASE", field="id", right=True),
        Column(title="CONTAINER", field="container", form=short_container),
        Column(title="EXEC", field="process", form=lambda name: name[:12] or "-"),
        Column(title="POOL", field="pool"),
        Column(title="ENCLAVE", field="enclave_id", right=True),
        Column(title="COMPARTMENT", field="compartment", right=True),
        Column(title="STATE", field="state"),
        Column(title="PID", field="process_id", form=_or_dash, right=True),
        Column(title="PARENT", field="parent_id", form=_or_dash, right=True),
        Column(title="LIMIT", field="memory_limit", form=size, right=True),
        Column(title="GRANTED", field="granted", form=_or_dash),
    )
    with HostClient(session) as client:
        show([record(lease) for lease in client.leases(pool=pool, container=container)], columns, form=form)
