"""teemate image: the enclave image, without a daemon."""

from __future__ import annotations

import click

from teemate_runtime.teemate.lazy_group import LazyGroup


@click.group(cls=LazyGroup, modules={"measure": "image_measure", "export": "image_export"})
def command() -> None:
    """Measure or export the enclave that an image and a layout make."""
