"""teemate pool resize"""

from __future__ import annotations

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.output import output_option, show_value
from teemate_runtime.teemate.session import Session


@click.command()
@click.argument("name", shell_complete=pool_names)
@click.option("--ready", type=click.IntRange(min=0), help="Enclaves kept with a free compartment.")
@click.option("--maximum", type=click.IntRange(min=1), help="Most enclaves.")
@output_option
@click.pass_obj
def command(session: Session, name: str, ready: int | None, maximum: int | None, form: str) -> None:
    """Change how many enclaves a pool has.

    For a pool of the configuration file the change lasts until the daemon ends.

    \b
    Examples:
      teemate pool resize default --maximum 8
      teemate pool resize default --ready 2 --maximum 8
    """
    if ready is None and maximum is None:
        raise click.UsageError("give --ready, --maximum or both")
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record

    with HostClient(session) as client:
        show_value(record(client.resize_pool(name, ready=ready, maximum=maximum)), form=form)
