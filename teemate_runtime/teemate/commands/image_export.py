"""teemate image export"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from enclave_host.errors import HostError
from enclave_host.image_export import export_sgxs
from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.image_choice import choose, config_option, image_option, pool_option
from teemate_runtime.teemate.output import output_option, show_value
from teemate_runtime.teemate.pool_options import layout_options


@click.command()
@click.option("--sgxs", "target", required=True, type=click.Path(path_type=Path), help="File to write.")
@image_option
@config_option
@pool_option
@layout_options
@output_option
def command(target: Path, image: Path | None, config: Path | None, pool: str, form: str, **settings: Any) -> None:
    """Write the enclave's SGXS stream, whose SHA-256 is MRENCLAVE.

    \b
    Examples:
      teemate image export --sgxs enclave.sgxs && sha256sum enclave.sgxs
      teemate image export --sgxs enclave.sgxs --config /etc/teemate/hostd.yaml --pool default
    """
    file, layout = choose(image=image, config=config, pool=pool, settings=settings)
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            measured = export_sgxs(file, layout, stream)
        unfinished.replace(target)
    except (HostError, OSError) as error:
        unfinished.unlink(missing_ok=True)
        raise CommandError(f"{file} cannot be exported to {target}", cause=str(error)) from None
    show_value({"image": str(file), "sgxs": str(target), **asdict(measured)}, form=form)
