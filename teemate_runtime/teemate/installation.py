"""Where the programs of this installation are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from teemate_runtime.teemate.errors import CommandError


def runtime_program() -> Path:
    """teemate-runtime: beside this command, else in PATH."""
    beside = Path(sys.argv[0]).absolute().parent / "teemate-runtime"
    found = str(beside) if beside.is_file() else shutil.which("teemate-runtime")
    if not found:
        raise CommandError("teemate-runtime not found", remedy="run `make build`, or name it with --runtime PATH")
    return Path(found)


def mate_program() -> Path:
    """The mate that teemate-runtime uses when runtime.yaml names none."""
    return runtime_program().parent.parent / "lib" / "teemate" / "mate"
