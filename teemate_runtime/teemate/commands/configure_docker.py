"""teemate configure docker: the runtimes in daemon.json."""

from __future__ import annotations

from pathlib import Path

import click

from teemate_runtime.teemate import config_edit, docker_config
from teemate_runtime.teemate.installation import runtime_program


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/docker/daemon.json"),
    show_default=True,
    help="Configuration of dockerd.",
)
@click.option("--runtime", "program", type=click.Path(path_type=Path), help="teemate-runtime.  [default: this one]")
@click.option("--pool", "pools", multiple=True, metavar="NAME", help="Also a runtime teemate-NAME; may be repeated.")
@click.option("--remove", is_flag=True, help="Take TeeMate out again.")
@click.option("--dry-run", is_flag=True, help="Only show the difference.")
def command(config: Path, program: Path | None, pools: tuple[str, ...], remove: bool, dry_run: bool) -> None:
    """Make `docker run --runtime=teemate` work.

    The old file is kept beside the new one, with the time in its name.

    \b
    Examples:
      teemate configure docker --dry-run
      teemate configure docker --pool default --pool dedicated
      docker run --runtime=teemate-dedicated IMAGE
      teemate configure docker --remove
    """
    before = config_edit.read_text(config)
    if remove:
        after = docker_config.without_runtimes(before, file=config)
    else:
        path = (program or runtime_program()).absolute()
        after = docker_config.with_runtimes(before, file=config, program=path, pools=pools)
    config_edit.apply(config, before=before, after=after, dry_run=dry_run, restart="systemctl reload docker")
