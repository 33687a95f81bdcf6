"""teemate events"""

from __future__ import annotations

import json
from typing import Any

import click

from teemate_runtime.teemate.completions import pool_names
from teemate_runtime.teemate.output import output_option
from teemate_runtime.teemate.session import Session


@click.command()
@click.option("--pool", default="", shell_complete=pool_names, help="Only those of this pool.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these, for example lease.ended; repeatable.")
@click.option("--recent/--no-recent", default=True, show_default=True, help="Begin with those that are remembered.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Go on until interrupted.")
@output_option
@click.pass_obj
def command(session: Session, pool: str, types: tuple[str, ...], recent: bool, follow: bool, form: str) -> None:
    """Follow what happens: leases, enclaves, pools. -o json prints one object a line.

    \b
    Examples:
      teemate events
      teemate events --no-follow --type compartment.retired
      teemate events --no-recent -o json | jq --unbuffered .container
    """
    from teemate_runtime.teemate.client import HostClient
    from teemate_runtime.teemate.records import record

    with HostClient(session) as client:
        try:
            for event in client.events(pool=pool, types=list(types), recent=recent, follow=follow):
                click.echo(_line(record(event), form))
        except KeyboardInterrupt:
            return


def _line(event: dict[str, Any], form: str) -> str:
    if form == "json":
        return json.dumps(event)
    if form == "yaml":
        import yaml

        return "---\n" + str(yaml.safe_dump(event, sort_keys=False, allow_unicode=True)).rstrip("\n")
    from teemate_runtime.teemate.records import short_container

    words = [event["time"] or "", f"{event['type']:<20}", event["pool"]]
    words += [
        f"{name}={event[field]}" for name, field in (("enclave", "enclave_id"), ("lease", "lease_id")) if event[field]
    ]
    words += [short_container(event["container"]), event["text"]]
    return "  ".join(word for word in words if word)
