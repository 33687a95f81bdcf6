"""teemate enclave ls"""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.output import Column, output_option, show, size, yes_no
from teemate_runtime.teemate.session import Session

_COLUMNS = (
    Column(title="ENCLAVE", field="id", right=True),
    Column(title="POOL", field="pool"),
    Column(title="COMPARTMENTS", field="compartments", form=lambda compartments: str(len(compartments)), right=True),
    Column(title="FREE", field="free", right=True),
    Column(title="LEASED", field="leased", right=True),
    Column(title="MEMORY", field="memory", form=size, right=True),
    Column(title="BUILT IN", field="build_us", form=lambda time: f"{time / 1000:.1f} ms", right=True),
    Column(title="DRAINING", field="draining", form=yes_no),
    Column(title="MRENCLAVE", field="mrenclave", form=lambda digest: digest[:16]),
)


@click.command()
@click.option("--pool", default="", shell_complete=pool_names, help="Only those of this pool.")
@output_option
@click.pass_obj
def command(session: Session, pool: str, form: str) -> None:
    """List the enclaves.

    \b
    Examples:
      teemate enclave ls
      teemate enclave ls --pool default -o json
    """
    from teemate_runtime.teemate.client import HostClient

    with HostClient(session) as client:
        show([_row(enclave) for enclave in client.enclaves(pool=pool)], _COLUMNS, form=form)


def _row(enclave: Any) -> dict[str, Any]:
    from teemate_runtime.teemate.records import record

    states = Counter(compartment.state for compartment in enclave.compartments)
    return record(enclave) | {"free": states["free"], "leased": states["leased"]}
