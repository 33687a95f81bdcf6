"""The annotations io.teemate.* of a container, and what they ask of the daemon."""

from __future__ import annotations

from teemate_runtime.oci.failure import Failure, nearest
from teemate_runtime.oci.settings import WAIT_MS_MAX, Settings
from teemate_runtime.oci.strict_json import Object

PREFIX = "io.teemate."
POOL = PREFIX + "pool"
THREADS = PREFIX + "threads"
MEMORY = PREFIX + "memory"
WAIT = PREFIX + "wait"
# Written by the runtime for its own later calls (exec), refused from others.
MATE = PREFIX + "mate"
UNPROTECTED = PREFIX + "unprotected"

_FOR_USERS = (POOL, THREADS, MEMORY, WAIT)
_THREADS_MAX = 4096
_MEMORY_MAX = 1 << 46
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
POOL_NAME_MAX = 63


class Wishes:
    """What one process wants of a pool; 0 leaves it to the pool."""

    __slots__ = ("memory", "pool", "threads", "wait_ms")

    def __init__(self, *, pool: str, threads: int, memory: int, wait_ms: int) -> None:
        self.pool = pool
        self.threads = threads
        self.memory = memory
        self.wait_ms = wait_ms


def ours(config: Object) -> dict[str, str]:
    """The io.teemate.* annotations of a config.json or of the delegate's state."""
    annotations = config.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict):
        raise Failure("annotations in config.json is not an object")
    found = {}
    for key, value in annotations.items():
        if key.startswith(PREFIX):
            if not isinstance(value, str):
                raise Failure(f"annotation {key} is not a string")
            found[key] = value
    return found


def refuse_unknown(annotations: dict[str, str]) -> None:
    for key in annotations:
        if key in (MATE, UNPROTECTED):
            raise Failure(f"annotation {key} is reserved", cause="teemate-runtime itself sets it", remedy="remove it")
        if key not in _FOR_USERS:
            raise Failure(f"unknown annotation {key}", remedy=nearest(key, _FOR_USERS))


def wishes(annotations: dict[str, str], *, settings: Settings, pool_option: str | None) -> Wishes:
    """The annotation wins over --pool, which wins over runtime.yaml."""
    return Wishes(
        pool=pool_name(annotations.get(POOL) or pool_option or settings.pool),
        threads=_number(annotations, THREADS, maximum=_THREADS_MAX),
        memory=_memory(annotations),
        wait_ms=_number(annotations, WAIT, maximum=WAIT_MS_MAX) if WAIT in annotations else settings.wait_ms,
    )


def pool_name(name: str) -> str:
    if len(name) > POOL_NAME_MAX or not name.isascii() or not all(char.isalnum() or char in "_-." for char in name):
        raise Failure(
            f"invalid pool name {name!r}",
            cause=f"it comes from the annotation {POOL}, from --pool or from runtime.yaml",
            remedy=f"up to {POOL_NAME_MAX} letters, digits and _ - .",
        )
    return name


def _number(annotations: dict[str, str], key: str, *, maximum: int) -> int:
    text = annotations.get(key, "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or int(text) > maximum:
        raise Failure(f"annotation {key} is {text!r}", remedy=f"give a number from 0 to {maximum}")
    return int(text)


def _memory(annotations: dict[str, str]) -> int:
    text = annotations.get(MEMORY, "0")
    lower = text.lower().removesuffix("ib") if text.lower().endswith("ib") else text.lower()
    digits = lower.rstrip("kmg")
    unit = _UNITS.get(lower[len(digits) :])
    if unit is None or not digits.isascii() or not digits.isdecimal() or len(digits) > 15:
        raise Failure(f"annotation {MEMORY} is {text!r}", remedy="give bytes, or a number with k, m or g: 256m")
    size = int(digits) * unit
    if size > _MEMORY_MAX:
        raise Failure(f"annotation {MEMORY} is {text!r}", remedy=f"at most {_MEMORY_MAX >> 40} TiB")
    return size
