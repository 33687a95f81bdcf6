"""Change a configuration file that is not ours: show the difference, keep the old one, replace in one step."""

from __future__ import annotations

import difflib
import os
import shutil
import time
from pathlib import Path

import click

from teemate_runtime.teemate.errors import CommandError


def read_text(path: Path) -> str:
    """The file's text; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read", cause=str(error)) from error


def apply(path: Path, *, before: str, after: str, dry_run: bool, restart: str) -> None:
    """Write `after`, unless it is what is there already."""
    if before == after:
        click.echo(f"{path}: nothing to change")
        return
    if dry_run:
        click.echo(_difference(path, before, after), nl=False)
        return
    try:
        backup = _replace(path, after)
    except OSError as error:
        raise CommandError(f"{path} cannot be changed", cause=str(error), remedy="run this as root") from error
    click.echo(f"{path}: changed" + (f", the old file is {backup}" if backup else ""))
    click.echo(f"now run: {restart}")


def _difference(path: Path, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), str(path), f"{path} (changed)"
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def _replace(path: Path, text: str) -> Path | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    real = path.resolve()
    backup = None
    if real.exists():
        backup = _unused(real.with_name(f"{real.name}.{time.strftime('%Y%m%d-%H%M%S')}.bak"))
        shutil.copy2(real, backup)
    new = real.with_name(f".{real.name}.teemate")
    try:
        with new.open("w", encoding="utf-8") as file:
            if backup:
                shutil.copymode(real, new)
                os.chown(new, real.stat().st_uid, real.stat().st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(real)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return backup


def _unused(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        candidate = path.with_name(f"{path.name}.{number}")
        number += 1
    return candidate
