"""Names that the shell completes by asking the daemon."""

from __future__ import annotations

import click

from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.session import Session


def pool_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Pools that begin so; none while the daemon cannot be asked."""
    from teemate_runtime.teemate.client import HostClient

    try:
        with HostClient(Session(run_directory=context.find_root().params["host"])) as client:
            return [pool.name for pool in client.pools() if pool.name.startswith(incomplete)]
    except CommandError:
        return []
