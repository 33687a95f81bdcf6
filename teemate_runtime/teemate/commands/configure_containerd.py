"""teemate configure containerd: the runtime in config.toml."""

from __future__ import annotations

import re
from pathlib import Path

import click

from teemate_runtime.teemate import config_edit, containerd_config
from teemate_runtime.teemate.installation import runtime_program
from teemate_runtime.teemate.programs import version_of


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/containerd/config.toml"),
    show_default=True,
    help="Configuration of containerd.",
)
@click.option("--runtime", "program", type=click.Path(path_type=Path), help="teemate-runtime.  [default: this one]")
@click.option("--remove", is_flag=True, help="Take TeeMate out again.")
@click.option("--dry-run", is_flag=True, help="Only show the difference.")
def command(config: Path, program: Path | None, remove: bool, dry_run: bool) -> None:
    """Make the RuntimeClass handler `teemate` known to containerd's CRI plug-in.

    The old file is kept beside the new one, with the time in its name; comments stay.

    \b
    Examples:
      teemate configure containerd --dry-run
      teemate configure containerd --config /etc/containerd/config.toml
      teemate configure containerd --remove
    """
    before = config_edit.read_text(config)
    if remove:
        after = containerd_config.without_runtime(before, file=config)
    else:
        path = (program or runtime_program()).absolute()
        after = containerd_config.with_runtime(before, file=config, program=path, new_version=_file_version())
        if containerd_config.cri_is_disabled(after, file=config):
            click.echo(f"note: {config} disables the CRI plug-in, so Kubernetes cannot use this containerd", err=True)
    config_edit.apply(config, before=before, after=after, dry_run=dry_run, restart="systemctl restart containerd")


def _file_version() -> int:
    """Of a new file: 3 since containerd 2.0."""
    found = re.search(r"\bv?(\d+)\.\d+", version_of("containerd") or "")
    return 3 if found and int(found[1]) >= 2 else 2
