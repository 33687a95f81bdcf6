"""teemate image measure"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from enclave_host.errors import HostError
from enclave_host.image_export import measure_image
from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.image_choice import choose, config_option, image_option, pool_option
from teemate_runtime.teemate.output import output_option, show_value
from teemate_runtime.teemate.pool_options import layout_options


@click.command()
@image_option
@config_option
@pool_option
@layout_options
@output_option
def command(image: Path | None, config: Path | None, pool: str, form: str, **settings: Any) -> None:
    """Print MRENCLAVE of an image in a pool's layout.

    \b
    Examples:
      teemate image measure --config /etc/teemate/hostd.yaml --pool default
      teemate image measure --compartments 24 --threads 16 --memory 1GiB -o json
    """
    file, layout = choose(image=image, config=config, pool=pool, settings=settings)
    try:
        measured = measure_image(file, layout)
    except (HostError, OSError) as error:
        raise CommandError(f"{file} cannot be measured", cause=str(error), remedy="make enclave") from None
    show_value({"image": str(file), **asdict(measured)}, form=form)
