"""Errors on stderr and in the file of --log, as runc writes them.

The runc shim shows the user the last line of that file whose JSON level is "error"; dockerd and CRI show it further.
"""

from __future__ import annotations

import os
import sys
import time

from teemate_runtime.oci import strict_json
from teemate_runtime.oci.options import Options


def error(options: Options | None, text: str) -> None:
    _write(options, "error", text, to_stderr=True)


def warning(options: Options | None, text: str) -> None:
    """To the log only, if there is one: stderr may be the container's own."""
    _write(options, "warning", text, to_stderr=options is None or options.value("log") is None)


def _write(options: Options | None, level: str, text: str, *, to_stderr: bool) -> None:
    line = " ".join(text.split())
    path = options.value("log") if options else None
    if path and options:
        entry = _entry(level, line, as_json=options.value("log-format") == "json")
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, entry)
            finally:
                os.close(file)
        except OSError as failure:
            sys.stderr.write(f"teemate-runtime: {path} cannot be written: {failure.strerror}\n")
    if to_stderr:
        sys.stderr.write(f"teemate-runtime: {level}: {line}\n")


def _entry(level: str, text: str, *, as_json: bool) -> bytes:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if as_json:
        return strict_json.serialize({"level": level, "msg": text, "time": now}) + b"\n"
    return f'time="{now}" level={level} msg={strict_json.serialize(text).decode()}\n'.encode()
