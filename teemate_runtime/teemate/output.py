"""Every listing in three forms: a table to read, JSON and YAML to process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

# One thing that is listed: its fields as JSON has them.
Record = Mapping[str, Any]

RowStyle = Callable[[Record], str]

FORMATS = ("table", "json", "yaml")

output_option = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Form of the output.",
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: a field of the record, and how it reads."""

    title: str
    field: str
    form: Callable[[Any], str] = str
    right: bool = False
    wide: bool = False


def show(records: Sequence[Record], columns: Sequence[Column], *, form: str, style: RowStyle = lambda _: "") -> None:
    """A listing. `style`: how a row of the table looks on a terminal."""
    if form == "table":
        print_table(records, columns, style=style)
    else:
        show_value([dict(record) for record in records], form=form)


def show_value(value: Any, *, form: str) -> None:
    """One thing, as JSON or YAML; a table has no use for it and gets YAML."""
    if form == "json":
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
    else:
        import yaml

        yaml.safe_dump(value, sys.stdout, sort_keys=False, allow_unicode=True)


def print_table(records: Sequence[Record], columns: Sequence[Column], *, style: RowStyle) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table(records, columns, style=style))
        return
    # A pipe has no width: never cut, fold or pad what a script is to read.
    console = Console(highlight=False, width=10_000)
    with console.capture() as captured:
        console.print(table(records, columns, style=style))
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def table(records: Sequence[Record], columns: Sequence[Column], *, style: RowStyle = lambda _: "") -> Any:
    """The records as a rich table."""
    from rich.table import Table
    from rich.text import Text

    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        justify: Any = "right" if column.right else "left"
        result.add_column(column.title, justify=justify, no_wrap=not column.wide, overflow="fold")
    for record in records:
        result.add_row(*[Text(column.form(record[column.field])) for column in columns], style=style(record))
    return result


def size(value: int) -> str:
    """Bytes for people: three digits at most."""
    amount, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{amount:.0f} {units[0]}" if amount >= 100 or amount == int(amount) else f"{amount:.1f} {units[0]}"


def yes_no(value: object) -> str:
    return "yes" if value else "no"
