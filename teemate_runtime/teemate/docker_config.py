"""daemon.json with and without TeeMate's runtimes. Pure: text in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teemate_runtime.teemate.errors import CommandError

NAME = "teemate"
_FOR_POOL = f"{NAME}-"


def with_runtimes(text: str, *, file: Path, program: Path, pools: Sequence[str]) -> str:
    """One runtime named teemate and, for docker before 25, which cannot annotate, one for each of `pools`."""
    config = _parse(text, file)
    runtimes = _without_ours(config, file)
    runtimes[NAME] = {"path": str(program)}
    for pool in pools:
        runtimes[_FOR_POOL + pool] = {"path": str(program), "runtimeArgs": [f"--pool={pool}"]}
    config["runtimes"] = runtimes
    return _serialize(config, like=text)


def without_runtimes(text: str, *, file: Path) -> str:
    config = _parse(text, file)
    if config.get("default-runtime", "").startswith(NAME):
        raise CommandError(
            f"{file}: default-runtime is {config['default-runtime']}", remedy="choose another default runtime first"
        )
    if not any(_is_ours(name) for name in config.get("runtimes", {})):
        return text
    remaining = _without_ours(config, file)
    if remaining:
        config["runtimes"] = remaining
    else:
        del config["runtimes"]
    return _serialize(config, like=text)


def _is_ours(name: str) -> bool:
    return name == NAME or name.startswith(_FOR_POOL)


def _without_ours(config: dict[str, Any], file: Path) -> dict[str, Any]:
    runtimes = config.get("runtimes", {})
    if not isinstance(runtimes, dict):
        raise CommandError(f"{file}: `runtimes` is not an object", remedy="correct it first")
    return {name: runtime for name, runtime in runtimes.items() if not _is_ours(name)}


def _parse(text: str, file: Path) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{file} is not valid JSON", cause=str(error), remedy="correct it first") from None
    if not isinstance(config, dict):
        raise CommandError(f"{file} does not hold a JSON object", remedy="correct it first")
    return config


def _serialize(config: dict[str, Any], *, like: str) -> str:
    """In the indentation of the old text, so that the difference is only ours."""
    found = re.search(r"^\{\s*\n([ \t]+)\"", like)
    return json.dumps(config, indent=found[1] if found else 4, ensure_ascii=False) + "\n"
