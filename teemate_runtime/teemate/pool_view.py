"""A pool as a record and as a row."""

from __future__ import annotations

from typing import Any

from teemate_runtime.teemate.output import Column, size, yes_no
from teemate_runtime.teemate.records import record

COLUMNS = (
    Column(title="POOL", field="name"),
    Column(title="TRUST DOMAIN", field="trust_domain", spare=3),
    Column(title="KIND", field="kind", spare=6),
    Column(title="ENCLAVES", field="enclaves", right=True),
    Column(title="BUILDING", field="building", right=True, spare=7),
    Column(title="MAXIMUM", field="maximum", right=True, spare=5),
    Column(title="FREE", field="free", right=True),
    Column(title="PREPARED", field="prepared", right=True, spare=4),
    Column(title="LEASED", field="leased", right=True),
    Column(title="RECOVERING", field="recovering", right=True, spare=8),
    Column(title="RETIRED", field="retired", right=True, spare=1),
    Column(title="MEMORY", field="memory", form=size, right=True),
    Column(title="DRAINING", field="draining", form=yes_no, spare=2),
)


def row(pool: Any) -> dict[str, Any]:
    """The record, and beside it what the table takes out of the settings."""
    settings = pool.settings
    return record(pool) | {
        "trust_domain": settings.trust_domain,
        "kind": "dedicated" if settings.dedicated else "shared",
        "maximum": settings.maximum,
    }
