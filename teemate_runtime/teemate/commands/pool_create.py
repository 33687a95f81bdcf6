"""teemate pool create"""

from __future__ import annotations

from typing import Any

import click

from teemate_runtime.teemate.output import output_option, show_value
from teemate_runtime.teemate.pool_options import given, pool_options
from teemate_runtime.teemate.session import Session


@click.command()
@click.argument("name")
@pool_options
@output_option
@click.pass_obj
def command(session: Session, /, name: str, form: str, **settings: Any) -> None:
    """Make a pool. It is kept over restarts of the daemon.

    What is not given is as for a pool of the configuration file.

    \b
    Examples:
      teemate pool create blue --compartments 32 --memory 512MiB
      teemate pool create alone --dedicated --heap unmeasured --heap-size 256MiB
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record

    with HostClient(session) as client:
        show_value(record(client.create_pool(name, given(settings))), form=form)
