"""teemate configure containerd: the runtime handler in config.toml."""

from __future__ import annotations

import re
from pathlib import Path

import click

from teemate_runtime.teemate import config_edit, containerd_config
from teemate_runtime.teemate.containerd_config import Through
from teemate_runtime.teemate.installation import runtime_program, shim_program
from teemate_runtime.teemate.programs import version_of


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/containerd/config.toml"),
    show_default=True,
    help="Configuration of containerd.",
)
@click.option(
    "--through",
    type=click.Choice([each.value for each in Through]),
    default=Through.SHIM.value,
    show_default=True,
    help="What containerd calls: our shim, or its own shim and below that teemate-runtime.",
)
@click.option("--shim", type=click.Path(path_type=Path), help="containerd-shim-teemate-v2.  [default: this one]")
@click.option("--runtime", type=click.Path(path_type=Path), help="teemate-runtime.  [default: this one]")
@click.option("--remove", is_flag=True, help="Take TeeMate out again.")
@click.option("--dry-run", is_flag=True, help="Only show the difference.")
def command(config: Path, through: str, shim: Path | None, runtime: Path | None, remove: bool, dry_run: bool) -> None:
    """Make the RuntimeClass handler `teemate` known to containerd's CRI plug-in.

    The old file is kept beside the new one, with the time in its name; comments stay.

    \b
    Examples:
      teemate configure containerd --dry-run
      teemate configure containerd --config /etc/containerd/config.toml
      teemate configure containerd --through runtime
      teemate configure containerd --remove
    """
    before = config_edit.read_text(config)
    if remove:
        after = containerd_config.without_runtime(before, file=config)
    else:
        chosen = Through(through)
        after = containerd_config.with_runtime(
            before,
            file=config,
            through=chosen,
            program=_program(chosen, shim=shim, runtime=runtime).absolute(),
            new_version=_file_version(),
        )
        if containerd_config.cri_is_disabled(after, file=config):
            click.echo(f"note: {config} disables the CRI plug-in, so Kubernetes cannot use this containerd", err=True)
    config_edit.apply(config, before=before, after=after, dry_run=dry_run, restart="systemctl restart containerd")


def _program(through: Through, *, shim: Path | None, runtime: Path | None) -> Path:
    if through is Through.SHIM:
        if runtime:
            raise click.UsageError("--runtime is for --through runtime")
        return shim or shim_program()
    if shim:
        raise click.UsageError("--shim is for --through shim")
    return runtime or runtime_program()


def _file_version() -> int:
    """Of a new file: 3 since containerd 2.0."""
    found = re.search(r"\bv?(\d+)\.\d+", version_of("containerd") or "")
    return 3 if found and int(found[1]) >= 2 else 2
