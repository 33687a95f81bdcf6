"""teemate enclave: the enclaves."""

from __future__ import annotations

import click

from teemate_runtime.teemate.lazy_group import LazyGroup


@click.group(cls=LazyGroup, modules={"ls": "enclave_ls", "inspect": "enclave_inspect"})
def command() -> None:
    """Enclaves: what they measure, who is in them."""
