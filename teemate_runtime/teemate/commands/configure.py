"""teemate configure: tell a container manager about teemate-runtime."""

from __future__ import annotations

import click

from teemate_runtime.teemate.lazy_group import LazyGroup

MODULES = {"docker": "configure_docker", "containerd": "configure_containerd"}


@click.group(cls=LazyGroup, modules=MODULES)
def command() -> None:
    """Enter TeeMate into the configuration of docker or containerd."""
