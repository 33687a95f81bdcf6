"""teemate lease: the leases."""

from __future__ import annotations

import click

from teemate_runtime.teemate.lazy_group import LazyGroup


@click.group(cls=LazyGroup, modules={"ls": "lease_ls", "inspect": "lease_inspect"})
def command() -> None:
    """Leases: which process holds which compartment."""
