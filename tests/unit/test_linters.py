"""The linters are tests: absent locally they are skipped, in CI they must be there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.facilities import in_ci

ROOT = Path(__file__).resolve().parents[2]
PYTHON_FOLDERS = ["enclave_host", "teemate_runtime", "shim", "zygote", "tests", "bench", "examples"]
C_FOLDERS = ["enclave", "mate", "zygote", "tests/programs"]


def tracked(*patterns: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split() if (ROOT / name).exists()]


def shell_scripts() -> list[str]:
    return [name for name in tracked() if (ROOT / name).read_bytes()[:40].startswith((b"#!/bin/bash", b"#!/bin/sh"))]


def c_sources() -> list[str]:
    return [name for name in tracked("*.c", "*.h") if name.startswith(tuple(f"{folder}/" for folder in C_FOLDERS))]


def lint(*command: str) -> None:
    if not Path(command[0]).exists() and not shutil.which(command[0]):
        if in_ci():
            pytest.fail(f"{command[0]} is missing: run `make setup`")
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    lint(sys.executable, "-m", "ruff", "check", *PYTHON_FOLDERS)


def test_python_is_formatted() -> None:
    lint(sys.executable, "-m", "ruff", "format", "--check", *PYTHON_FOLDERS)


def test_types_are_right() -> None:
    lint(sys.executable, "-m", "mypy", "--strict", "enclave_host", "teemate_runtime", "shim", "zygote")


def test_c_is_formatted() -> None:
    lint("clang-format", "--dry-run", "-Werror", *c_sources())


def test_shell_scripts_are_sound() -> None:
    scripts = shell_scripts()
    assert ".ci/run" in scripts
    lint("shellcheck", *scripts)


def test_file_size_is_bounded() -> None:
    """A file has one purpose: at most 500 lines."""
    sizes = {name: len((ROOT / name).read_text().splitlines()) for name in tracked("*.c", "*.h", "*.py", "*.S")}
    assert not {name: size for name, size in sizes.items() if size > 500}
