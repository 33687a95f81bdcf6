"""Which image in which layout: from the daemon's configuration, or from options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from enclave_host.blueprint import EnclaveLayout
from enclave_host.config import load_config, parse_config, parse_pool
from enclave_host.errors import HostError
from enclave_host.image_export import pool_layout
from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.pool_options import given

image_option = click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="LibOS image.  [default: as the daemon]",
)
config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration of the daemon, whose pool gives the layout."
)
pool_option = click.option("--pool", default="default", show_default=True, help="The pool, with --config.")


def choose(
    *, image: Path | None, config: Path | None, pool: str, settings: dict[str, Any]
) -> tuple[Path, EnclaveLayout]:
    """The image's file and the layout."""
    layout = given(settings)
    if config and layout:
        raise click.UsageError(f"--config and --{next(iter(layout)).replace('_', '-')} exclude each other")
    try:
        if config:
            loaded = load_config(config)
            return image or loaded.image, pool_layout(loaded, pool)
        return image or parse_config({}).image, EnclaveLayout.of_pool(parse_pool(pool, layout))
    except HostError as error:
        raise CommandError(str(error)) from None
