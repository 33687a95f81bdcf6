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
    spare: int = 0
    """On a terminal that is too narrow columns are left out, those of the highest number first; 0 stays."""

    def text(self, record: Record) -> str:
        """A dash for what a daemon of another version does not tell."""
        return self.form(record[self.field]) if self.field in record else "-"


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
        console.print(table(records, columns, width=console.width, style=style))
    else:
        write_lines(table(records, columns, width=UNLIMITED_WIDTH, style=style))


# A pipe has no width: never cut, fold or pad what a script is to read.
UNLIMITED_WIDTH = 10_000


def write_lines(view: Any) -> None:
    """What rich can show, for a pipe."""
    from rich.console import Console

    console = Console(highlight=False, width=UNLIMITED_WIDTH)
    with console.capture() as captured:
        console.print(view)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


_GAP = 2
# A column that folds its text needs no more.
_FOLDED_WIDTH = 16


def fitting(records: Sequence[Record], columns: Sequence[Column], *, width: int) -> list[Column]:
    """The columns for which there is room."""

    def needed(column: Column) -> int:
        longest = max(len(text) for text in (column.title, *(column.text(each) for each in records)))
        return _GAP + (min(longest, _FOLDED_WIDTH) if column.wide else longest)

    left = list(columns)
    for column in sorted((each for each in columns if each.spare), key=lambda each: -each.spare):
        if sum(map(needed, left)) <= width:
            break
        left.remove(column)
    return left


def table(records: Sequence[Record], columns: Sequence[Column], *, width: int, style: RowStyle = lambda _: "") -> Any:
    """The records as a rich table that is no wider than `width`."""
    from rich.table import Table
    from rich.text import Text

    columns = fitting(records, columns, width=width)
    result = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in columns:
        justify: Any = "right" if column.right else "left"
        result.add_column(column.title, justify=justify, no_wrap=not column.wide, overflow="fold")
    for record in records:
        result.add_row(*[Text(column.text(record)) for column in columns], style=style(record))
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
