"""Where the programs of this installation are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from teemate_runtime.teemate.errors import CommandError


def runtime_program() -> Path:
    """teemate-runtime: beside this command, else in PATH."""
    return _program("teemate-runtime", option="--runtime")


def shim_program() -> Path:
    """containerd-shim-teemate-v2: beside this command, else in PATH."""
    return _program("containerd-shim-teemate-v2", option="--shim")


def _program(name: str, *, option: str) -> Path:
    beside = Path(sys.argv[0]).absolute().parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if not found:
        raise CommandError(f"{name} not found", remedy=f"run `make build`, or name it with {option} PATH")
    return Path(found)


def mate_program() -> Path:
    """The mate that teemate-runtime uses when runtime.yaml names none."""
    return runtime_program().parent.parent / "lib" / "teemate" / "mate"
