"""JSON as the runtime needs it: strict on the way in, cheap to import.

The json package imports re and enum, 5 to 8 ms at every create. Its C accelerator does not, and it is all we need.
Strict because the delegate is written in Go or C and reads the same bytes again: where parsers may disagree (a key
twice, a key that Go takes for another because it ignores case) the program we wrap might not be the one it starts.
"""

from __future__ import annotations

import _json

from teemate_runtime.oci.failure import Failure

SIZE_LIMIT = 16 << 20
_WHITE_SPACE = " \t\n\r"

Object = dict[str, "Value"]
Value = None | bool | int | float | str | list["Value"] | Object


class _Malformed(ValueError):
    pass


def _object(pairs: list[tuple[str, Value]]) -> Object:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Malformed(f"the key {key!r} is given twice")
            seen.add(key)
    return result


def _constant(name: str) -> Value:
    raise _Malformed(f"{name} is not JSON")


class _Rules:
    """What _json.make_scanner asks its context for."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_constant)


def _scan(text: str) -> tuple[Value, int]:
    try:
        value, end = _json.make_scanner(_Rules())(text, 0)  # type: ignore[arg-type]
    except (StopIteration, SystemError):
        # It is malformed, and the accelerator alone cannot say where. Worth an import.
        import json

        value, end = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).raw_decode(text)
    return value, end


def parse(data: bytes, *, what: str) -> Object:
    """The JSON object in `data`."""
    try:
        text = data.decode("utf-8").lstrip(_WHITE_SPACE)
        value, end = _scan(text)
    except (ValueError, RecursionError) as error:
        raise Failure(f"{what} is not valid JSON", cause=str(error)) from None
    if text[end:].strip(_WHITE_SPACE):
        raise Failure(f"{what} is not valid JSON", cause=f"something follows the value at character {end}")
    if not isinstance(value, dict):
        raise Failure(f"{what} is not a JSON object")
    return value


def _unknown(value: object) -> str:
    raise TypeError(type(value).__name__)


def serialize(value: Value) -> bytes:
    encoder = _json.make_encoder(None, _unknown, _json.encode_basestring_ascii, None, ":", ",", False, False, False)
    return "".join(encoder(value, 0)).encode("ascii")


def read(path: str, *, what: str) -> bytes:
    """The bytes of a file that is to be parsed."""
    import os

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Failure(f"{what} not found", cause=f"{path} does not exist") from None
    except OSError as error:
        raise Failure(f"{what} cannot be read", cause=f"{path}: {error.strerror}") from None
    try:
        chunks = []
        left = SIZE_LIMIT + 1
        while left and (chunk := os.read(descriptor, min(left, 1 << 20))):
            chunks.append(chunk)
            left -= len(chunk)
    except OSError as error:
        raise Failure(f"{what} cannot be read", cause=f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if not left:
        raise Failure(f"{what} is too large", cause=f"{path} has more than {SIZE_LIMIT >> 20} MiB")
    return b"".join(chunks)


def refuse_look_alikes(value: Object, names: tuple[str, ...], *, what: str) -> None:
    """Go's decoder takes "Args" (and "arg\u017f") for "args": refuse such keys where one of ours decides."""
    for key in value:
        if key not in names and key.casefold() in names:
            raise Failure(f"{what} has the key {key!r}", cause=f"some parsers take it for {key.casefold()!r}")
