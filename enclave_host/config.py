"""The daemon's configuration: the one place where its keys are defined. `configs/hostd.yaml` documents them."""

import difflib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from enclave_host.errors import HostError
from enclave_host.layout import APP_CODE_END, APP_END, APP_OFFSET, COMPARTMENT_STRIDE, ELRANGE_SIZE_MAX, THREADS_MAX
from enclave_host.lease_grant import POOL_NAME_SIZE
from enclave_host.sgx import PAGE_SIZE

COMPARTMENTS_MAX = ELRANGE_SIZE_MAX // COMPARTMENT_STRIDE - 1
ENCLAVES_MAX = 1024
PROCESSES_MAX = COMPARTMENTS_MAX * ENCLAVES_MAX
_PROCESSES_LEAST = 4  # the default in a small pool: enough for a program that starts a few others
APP_SIZE_MAX = APP_END - APP_OFFSET
PREPARED_MAX = 64
PREPARED_MEMORY_MAX = APP_CODE_END - APP_OFFSET

_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ConfigError(HostError):
    """The configuration cannot be used. The text names the key."""


class Heap(StrEnum):
    """How the application heap of a compartment comes to be."""

    ON_DEMAND = "on_demand"  # pages are added when touched (EAUG)
    UNMEASURED = "unmeasured"  # EADD without EEXTEND
    MEASURED = "measured"  # EADD and EEXTEND


class ProviderChoice(StrEnum):
    """Where EPC pages come from."""

    AUTO = "auto"  # the best that the host has
    SOFTWARE_MODEL = "software_model"  # memfds; no SGX, no kernel module
    KERNEL_MODULE = "kernel_module"  # teemate.ko, emulated EPC
    HARDWARE = "hardware"  # teemate.ko over /dev/sgx_enclave


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def parse_size(value: object) -> int:
    """Bytes from an integer or a text such as `512MiB`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("must be a size such as 512MiB")
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(value))
    if not match or match[2] not in _SIZE_UNITS:
        raise ValueError(f"`{value}` is not a size; write a number with one of B, KiB, MiB, GiB, TiB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def format_size(size: int) -> str:
    """The shortest exact text that parse_size reads back."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}B"


def _pages(*, maximum: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        size = parse_size(value)
        if size == 0 or size % PAGE_SIZE or size > maximum:
            raise ValueError(f"must be a multiple of {PAGE_SIZE} from {PAGE_SIZE} to {maximum} bytes, not `{value}`")
        return size

    return convert


def _integer(*, minimum: int, maximum: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise ValueError(f"must be an integer from {minimum} to {maximum}, not `{value}`")
        return value

    return convert


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not `{value}`")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) >= POOL_NAME_SIZE or not _POOL_NAME.fullmatch(value):
        raise ValueError(f"must be 1 to {POOL_NAME_SIZE - 1} letters, digits, `_`, `.` or `-`, not `{value}`")
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"must be an absolute path, not `{value}`")
    return Path(value)


def _choice(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    def convert(value: object) -> StrEnum:
        try:
            return kind(str(value))
        except ValueError:
            raise ValueError(f"must be one of {', '.join(kind)}, not `{value}`") from None

    return convert


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """`pools.NAME`: the enclaves of one trust domain, all built alike."""

    name: str
    trust_domain: str
    compartments: int = 8
    threads: int = 16
    memory: int = 1 << 30
    heap: Heap = Heap.ON_DEMAND
    heap_size: int = 64 << 20
    ready: int = 1
    maximum: int = 4
    processes: int = 16
    prepared: int = 4
    prepared_memory: int = 1 << 20
    dedicated: bool = False
    debug__trace_syscalls: bool = False
    debug__no_patch: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole configuration."""

    run_directory: Path = Path("/run/teemate")
    state_directory: Path = Path("/var/lib/teemate")
    image: Path
    mate: Path
    signing_key: Path | None = None
    log_level: LogLevel = LogLevel.INFO
    provider: ProviderChoice = ProviderChoice.AUTO
    zygote: bool = True
    pools: Mapping[str, PoolConfig]


_Converters = Mapping[str, Callable[[object], Any]]

_POOL_KEYS: _Converters = {
    "trust_domain": _name,
    "compartments": _integer(minimum=1, maximum=COMPARTMENTS_MAX),
    "threads": _integer(minimum=1, maximum=THREADS_MAX),
    "memory": _pages(maximum=APP_SIZE_MAX),
    "heap": _choice(Heap),
    "heap_size": _pages(maximum=APP_SIZE_MAX),
    "ready": _integer(minimum=0, maximum=ENCLAVES_MAX),
    "maximum": _integer(minimum=1, maximum=ENCLAVES_MAX),
    "processes": _integer(minimum=1, maximum=PROCESSES_MAX),
    "prepared": _integer(minimum=0, maximum=PREPARED_MAX),
    "prepared_memory": _pages(maximum=PREPARED_MEMORY_MAX),
    "dedicated": _boolean,
    "debug__trace_syscalls": _boolean,
    "debug__no_patch": _boolean,
}

_KEYS: _Converters = {
    "run_directory": _path,
    "state_directory": _path,
    "image": _path,
    "mate": _path,
    "signing_key": _path,
    "log_level": _choice(LogLevel),
    "provider": _choice(ProviderChoice),
    "zygote": _boolean,
    "pools": lambda value: _mapping("pools", value),
}


def load_config(path: Path) -> Config:
    """Read the YAML file. Raises ConfigError, naming the key."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    try:
        return parse_config(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(document: object) -> Config:
    """Check a parsed document and fill in the defaults."""
    values = _convert(_mapping("the configuration", document), _KEYS, prefix="")
    values.setdefault("image", _built_file("libos.elf"))
    values.setdefault("mate", _built_file("mate"))
    pools = {str(name): parse_pool(name, settings) for name, settings in values.pop("pools", {}).items()}
    return Config(**values, pools=pools)


def parse_pool(name: object, settings: object) -> PoolConfig:
    """Check one pool's settings and fill in the defaults."""
    prefix = f"pools.{name}"
    try:
        checked_name = _name(name)
    except ValueError as error:
        raise ConfigError(f"pools: a pool's name {error}") from error
    values = _convert(_mapping(prefix, settings), _POOL_KEYS, prefix=f"{prefix}.")
    given = set(values)
    values.setdefault("trust_domain", checked_name)
    if values.get("dedicated"):
        if values.get("compartments", 1) != 1 or values.get("ready", 0) != 0 or values.get("prepared", 0) != 0:
            raise ConfigError(
                f"{prefix}.dedicated: such a pool builds one enclave with one compartment for each container; "
                f"remove {prefix}.compartments, {prefix}.ready and {prefix}.prepared"
            )
        values = {"maximum": ENCLAVES_MAX} | values | {"compartments": 1, "ready": 0, "prepared": 0}
    if values.get("heap", Heap.ON_DEMAND) is not Heap.ON_DEMAND and "memory" not in given:
        values["memory"] = values.get("heap_size", PoolConfig.heap_size)
    compartments = values.get("compartments", PoolConfig.compartments) * values.get("maximum", PoolConfig.maximum)
    values.setdefault("processes", max(compartments // 2, _PROCESSES_LEAST))
    if "prepared_memory" not in given:
        values["prepared_memory"] = min(PoolConfig.prepared_memory, values.get("memory", PoolConfig.memory))
    pool = PoolConfig(name=checked_name, **values)
    if pool.prepared_memory > pool.memory:
        raise ConfigError(f"{prefix}.prepared_memory: more than {prefix}.memory, which is all that a program may have")
    if pool.ready > pool.maximum:
        raise ConfigError(f"{prefix}.ready: {pool.ready} is more than {prefix}.maximum, {pool.maximum}")
    if pool.heap is Heap.ON_DEMAND:
        if "heap_size" in given:
            raise ConfigError(f"{prefix}.heap_size: needs heap: unmeasured or measured; use {prefix}.memory")
    elif pool.memory > pool.heap_size:
        raise ConfigError(f"{prefix}.memory: more than {prefix}.heap_size, and a heap added beforehand cannot grow")
    return pool


def _convert(entries: Mapping[str, object], converters: _Converters, *, prefix: str) -> dict[str, Any]:
    values = {}
    for key, value in entries.items():
        if key not in converters:
            nearest = difflib.get_close_matches(str(key), converters, n=1, cutoff=0.0)
            raise ConfigError(f"{prefix}{key}: unknown key; the nearest one is {prefix}{nearest[0]}")
        try:
            values[key] = converters[key](value)
        except ValueError as error:
            raise ConfigError(f"{prefix}{key}: {error}") from error
    return values


def _mapping(name: str, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: must be a mapping of keys to values")
    return dict(value)


def _built_file(name: str) -> Path:
    """Where the build puts the file: with the installed programs, else in the checkout."""
    installed = Path(sys.prefix) / "lib" / "teemate" / name
    if installed.exists():
        return installed
    return Path(__file__).resolve().parents[1] / "build" / name
