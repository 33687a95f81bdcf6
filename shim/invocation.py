"""How containerd calls the shim's binary: Go-style flags, an action, and a few variables of its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Flag -> does it take a value? (containerd: pkg/shim/shim.go, parseFlags)
_FLAGS = {
    "namespace": True,
    "id": True,
    "address": True,
    "publish-binary": True,
    "socket": True,
    "debug-socket": True,
    "bundle": True,
    "debug": False,
}
ACTIONS = ("start", "delete")
VERSION_WORDS = ("-v", "-version", "--version")


class UsageError(Exception):
    """The command line is not one that containerd gives."""


@dataclass(frozen=True)
class Invocation:
    """One call of the binary. `working_directory` is the bundle for both actions."""

    action: str
    namespace: str
    id: str
    grpc_address: str
    bundle: Path
    ttrpc_address: str
    debug: bool

    @classmethod
    def parse(cls, words: list[str], *, environment: Mapping[str, str], working_directory: Path) -> "Invocation":
        """Read a command line. Raises UsageError."""
        values: dict[str, str] = {}
        position = 0
        while position < len(words) and words[position].startswith("-"):
            name, equals, value = words[position].lstrip("-").partition("=")
            position += 1
            if name not in _FLAGS:
                raise UsageError(f"unknown flag -{name}; known: {', '.join(_FLAGS)}")
            if not _FLAGS[name]:
                value = value or "true"
            elif not equals:
                if position == len(words):
                    raise UsageError(f"flag -{name} needs a value")
                value = words[position]
                position += 1
            values[name] = value
        action = words[position] if position < len(words) else ""
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r}; known: {', '.join(ACTIONS)}")
        for name in ("namespace", "id"):
            value = values.get(name, "")
            if not value or "/" in value or value in (".", ".."):
                raise UsageError(f"flag -{name} is missing or not a name: {value!r}")
        return cls(
            action=action,
            namespace=values["namespace"],
            id=values["id"],
            grpc_address=values.get("address", environment.get("GRPC_ADDRESS", "")),
            bundle=Path(values.get("bundle") or working_directory),
            ttrpc_address=environment.get("TTRPC_ADDRESS", ""),
            debug=values.get("debug") == "true",
        )
