"""`#!` lines (enclave/script.c) mean what they mean to Linux."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from tests.harness.native import compile_native

NOT_EXECUTABLE = f"error {errno.ENOEXEC}"
HEAD_SIZE = 256  # BINPRM_BUF_SIZE: what Linux looks at


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_native(
        tmp_path_factory.mktemp("script") / "script_driver",
        driver=Path(__file__).parent / "native" / "script_driver.c",
        sources=("script.c",),
    )


LINES: dict[str, tuple[bytes, str]] = {
    "plain": (b"#!/bin/sh\necho", "[/bin/sh] []"),
    "no newline": (b"#!/bin/sh", "[/bin/sh] []"),
    "argument": (b"#!/bin/sh -e\n", "[/bin/sh] [-e]"),
    "one argument with blanks": (b"#!/usr/bin/env -S a b\t c\n", "[/usr/bin/env] [-S a b\t c]"),
    "blanks around": (b"#! \t/bin/sh \t -e \t\n", "[/bin/sh] [-e]"),
    "carriage return is part of the name": (b"#!/bin/sh\r\n", "[/bin/sh\r] []"),
    "ends at NUL": (b"#!/bin/sh\0junk\n", "[/bin/sh] []"),
    "nothing": (b"#!", NOT_EXECUTABLE),
    "only a newline": (b"#!\n/bin/sh\n", NOT_EXECUTABLE),
    "only blanks": (b"#! \t \n", NOT_EXECUTABLE),
    "longest name": (b"#!" + b"a" * (HEAD_SIZE - 3) + b"\n", f"[{'a' * (HEAD_SIZE - 3)}] []"),
    "name that is cut": (b"#!" + b"a" * 300 + b"\n", NOT_EXECUTABLE),
    "argument that is cut": (b"#!/bin/sh " + b"a" * 300 + b"\n", f"[/bin/sh] [{'a' * (HEAD_SIZE - 10)}]"),
    "blanks beyond what is looked at": (b"#!/bin/sh" + b" " * 300 + b"-e\n", "[/bin/sh] []"),
}


@pytest.mark.parametrize("name", LINES)
def test_line(driver: Path, name: str) -> None:
    head, expected = LINES[name]
    done = subprocess.run([driver], input=head, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().removesuffix("\n") == expected
