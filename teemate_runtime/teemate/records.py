"""The daemon's messages as plain records: what -o json prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def record(message: Message) -> dict[str, Any]:
    """Every field by its name, set or not; numbers as numbers (the canonical JSON form makes 64-bit ones strings)."""
    return {field.name: _value(field, getattr(message, field.name)) for field in message.DESCRIPTOR.fields}


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToDatetime().isoformat(timespec="milliseconds") + "Z" if value.seconds else None
    if field.enum_type is not None:
        prefix = field.enum_type.name.upper() + "_"
        return str(field.enum_type.values_by_number[value].name).removeprefix(prefix).lower()
    if isinstance(value, Message):
        return record(value)
    if field.message_type is not None:
        return [record(item) for item in value]
    if isinstance(value, (bool, int, str, float)):
        return value
    return list(value)


def short_container(name: str) -> str:
    """docker's ids have 64 digits, of which people read 12."""
    namespace, slash, container = name.rpartition("/")
    if len(container) == 64 and all(char in "0123456789abcdef" for char in container):
        container = container[:12]
    return f"{namespace}{slash}{container}"


def command_of(process_id: int, *, proc: Path = Path("/proc")) -> str:
    """The program in the enclave: the mate's arguments after `--`."""
    try:
        words = (proc / str(process_id) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return ""
    if len(words) > 3 and words[1].startswith("--lease-fd=") and words[2] == "--":
        words = words[3:]
    return " ".join(words)
