"""One thing that doctor found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"  # works, with a difference worth knowing
    LACK = "lack"  # something does not work


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`cure` is empty where there is nothing to be done."""

    subject: str
    level: Level
    fact: str
    cure: str = ""

    def record(self) -> dict[str, Any]:
        return asdict(self)


def ok(subject: str, fact: str) -> Finding:
    return Finding(subject=subject, level=Level.OK, fact=fact)


def note(subject: str, fact: str, *, cure: str = "") -> Finding:
    return Finding(subject=subject, level=Level.NOTE, fact=fact, cure=cure)


def lack(subject: str, fact: str, *, cure: str) -> Finding:
    return Finding(subject=subject, level=Level.LACK, fact=fact, cure=cure)
