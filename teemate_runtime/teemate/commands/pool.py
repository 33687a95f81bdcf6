"""teemate pool: the pools of enclaves."""

from __future__ import annotations

import click

from teemate_runtime.teemate.lazy_group import LazyGroup

MODULES = {
    "ls": "pool_ls",
    "inspect": "pool_inspect",
    "create": "pool_create",
    "resize": "pool_resize",
    "drain": "pool_drain",
    "delete": "pool_delete",
}


@click.group(cls=LazyGroup, modules=MODULES)
def command() -> None:
    """Pools: enclaves built alike and kept ready for one trust domain."""
