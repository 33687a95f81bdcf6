#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write docs/syscalls.md from enclave/syscall_table.def, the table that the LibOS itself is built from."""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "syscall_table.def"
DOCUMENT = TABLE.parent.parent / "docs" / "syscalls.md"

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
ROW = re.compile(r"^(HANDLED|PASSED|REFUSED|UNSUPPORTED)\((\d+), (\w+), (.*?)\)$", re.DOTALL | re.MULTILINE)
NOTE = re.compile(r'"([^"]*)"')

INTRODUCTION = """\
# System calls

Generated from `enclave/syscall_table.def` by `enclave/gen_syscalls.py`; do not edit.

| how | meaning |
|---|---|
| LibOS | a handler in `enclave/`; it may ask the host for parts |
| host | the host serves the call; a table describes the arguments, and the answer is checked |
| no | the call returns ENOSYS and is named once in the log |
| silent no | the same without a log line: callers ask first and have another way |
"""


class TableError(Exception):
    """The table cannot be read."""


class Service(StrEnum):
    LIBOS = "LibOS"
    HOST = "host"
    REFUSED = "no"
    UNSUPPORTED = "silent no"


SERVICES = {
    "HANDLED": Service.LIBOS,
    "PASSED": Service.HOST,
    "REFUSED": Service.REFUSED,
    "UNSUPPORTED": Service.UNSUPPORTED,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    number: int
    name: str
    service: Service
    support: str
    note: str


def read_row(*, kind: str, number: int, name: str, columns: str) -> Row:
    service = SERVICES[kind]
    note = NOTE.search(columns)
    if note is None:
        raise TableError(f"row {number} ({name}) has no note: put a string in its column, empty if all is supported")
    if service in (Service.REFUSED, Service.UNSUPPORTED):
        support = "none"
    else:
        words = [word for word in ("FULL", "PARTIAL") if re.search(rf"\b{word}\b", columns[: note.start()])]
        if len(words) != 1:
            raise TableError(f"row {number} ({name}) must say either FULL or PARTIAL")
        support = words[0].lower()
    if support != "full" and not note[1]:
        raise TableError(f"row {number} ({name}) is not fully supported and must say why")
    return Row(number=number, name=name, service=service, support=support, note=note[1])


def read_table(*, text: str) -> list[Row]:
    code = COMMENT.sub("", text)
    rows = [
        read_row(kind=match[1], number=int(match[2]), name=match[3], columns=match[4]) for match in ROW.finditer(code)
    ]
    rest = ROW.sub("", code).strip()
    if rest:
        raise TableError(f"{TABLE.name}: cannot read {rest.splitlines()[0]!r}")
    return rows


def render(*, rows: list[Row]) -> str:
    counts = Counter(row.support for row in rows)
    summary = ", ".join(f"{counts[support]} {support}" for support in ("full", "partial", "none"))
    lines = [INTRODUCTION, f"{len(rows)} calls: {summary}.", "", "| number | call | how | support | note |"]
    lines.append("|---:|---|---|---|---|")
    lines += [f"| {row.number} | {row.name} | {row.service} | {row.support} | {row.note} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    try:
        DOCUMENT.write_text(render(rows=read_table(text=TABLE.read_text())))
    except (TableError, OSError) as error:
        print(f"gen_syscalls: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
