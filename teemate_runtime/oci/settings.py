"""runtime.yaml: the few settings of `teemate-runtime`.

Not parsed by PyYAML, whose import costs more than a whole `state`: the file is a flat list of `key: value` lines, which
is YAML, and anything beyond that is refused. Values may be quoted; `#` starts a comment.
"""

from __future__ import annotations

import os

from teemate_runtime.oci.failure import Failure, nearest

PATH = "/etc/teemate/runtime.yaml"
PATH_VARIABLE = "TEEMATE_RUNTIME_CONFIG"
HOST_VARIABLE = "TEEMATE_HOST"
KNOWN = ("pool", "host", "delegate", "mate", "wait_ms", "insecure__allow_unprotected")
WAIT_MS_MAX = 600_000


class Settings:
    __slots__ = ("allow_unprotected", "delegate", "host", "mate", "path", "pool", "wait_ms")

    def __init__(self, values: dict[str, str], *, path: str, library: str) -> None:
        self.path = path
        self.pool = values.get("pool", "default")
        self.host = os.environ.get(HOST_VARIABLE) or values.get("host", "/run/teemate")
        self.delegate = values.get("delegate", "")
        self.mate = values.get("mate", f"{library}/mate")
        self.wait_ms = _number(values.get("wait_ms", "0"), key="wait_ms", path=path, maximum=WAIT_MS_MAX)
        self.allow_unprotected = _boolean(
            values.get("insecure__allow_unprotected", "false"), key="insecure__allow_unprotected", path=path
        )
        for key, value in (("host", self.host), ("mate", self.mate)):
            if not value.startswith("/"):
                raise Failure(f"{key} is not an absolute path: {value!r}", remedy=f"set {key} in {path}")

    @property
    def attach_socket(self) -> str:
        return f"{self.host}/attach.sock"


def _number(text: str, *, key: str, path: str, maximum: int) -> int:
    if not text.isdecimal() or not text.isascii() or int(text) > maximum:
        raise Failure(f"{path}: {key} is {text!r}", remedy=f"give a number from 0 to {maximum}")
    return int(text)


def _boolean(text: str, *, key: str, path: str) -> bool:
    if text not in ("true", "false"):
        raise Failure(f"{path}: {key} is {text!r}", remedy="give true or false")
    return text == "true"


def parse(text: str, *, path: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#") or stripped == "---":
            continue
        where = f"{path}, line {number}"
        key, colon, rest = stripped.partition(":")
        if line[0].isspace() or not colon or (rest and rest[0] not in " \t"):
            raise Failure(f"{where} is not of the form `key: value`", remedy="one setting a line, without nesting")
        if key not in KNOWN:
            raise Failure(f"{where}: unknown key {key!r}", remedy=nearest(key, KNOWN))
        if key in values:
            raise Failure(f"{where}: {key} is set twice")
        values[key] = _scalar(rest.strip(), where=where)
        if not values[key]:
            raise Failure(f"{where}: {key} has no value", remedy="give one or remove the line")
    return values


def _scalar(text: str, *, where: str) -> str:
    if text[:1] in ("'", '"'):
        value, quote, rest = text[1:].partition(text[0])
        if not quote or (rest.strip() and not rest.strip().startswith("#")) or "\\" in value:
            raise Failure(f"{where}: malformed quoted value")
        return value
    value = text.partition(" #")[0].rstrip()
    if value[:1] in tuple("[]{}&*!|>%@`#") or value in ("~", "null"):
        raise Failure(f"{where}: not a plain value", remedy="quote it")
    return value


def load(*, library: str) -> Settings:
    chosen = os.environ.get(PATH_VARIABLE)
    path = chosen or PATH
    values: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as file:
            values = parse(file.read(1 << 20), path=path)
    except FileNotFoundError:
        if chosen:
            raise Failure(f"{path} does not exist", remedy=f"{PATH_VARIABLE} names it") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read", cause=str(error)) from None
    return Settings(values, path=path, library=library)
