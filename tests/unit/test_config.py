"""The daemon's configuration: defaults, checks, and that configs/hostd.yaml documents every key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from enclave_host.config import (
    Config,
    ConfigError,
    Heap,
    PoolConfig,
    format_size,
    load_config,
    parse_config,
    parse_pool,
    parse_size,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "hostd.yaml"


def test_empty_configuration_has_defaults() -> None:
    config = parse_config(None)
    assert config.run_directory == Path("/run/teemate")
    assert config.state_directory == Path("/var/lib/teemate")
    assert (config.image.name, config.mate.name) == ("libos.elf", "mate")
    assert config.pools == {}


def test_pool_has_defaults() -> None:
    pool = parse_pool("web", None)
    assert pool == PoolConfig(name="web", trust_domain="web")
    assert (pool.compartments, pool.threads, pool.memory, pool.ready, pool.maximum) == (8, 16, 1 << 30, 1, 4)
    assert pool.processes == 16


def test_no_more_is_prepared_than_a_program_may_have() -> None:
    assert (parse_pool("a", {}).prepared, parse_pool("a", {}).prepared_memory) == (4, 1 << 20)
    assert parse_pool("a", {"memory": "64KiB"}).prepared_memory == 64 << 10
    assert parse_pool("a", {"dedicated": True}).prepared == 0


def test_dedicated_pool_has_one_compartment_and_nothing_ready() -> None:
    pool = parse_pool("own", {"dedicated": True, "heap": "measured", "heap_size": "256MiB"})
    assert (pool.compartments, pool.ready, pool.maximum) == (1, 0, 1024)
    assert (pool.heap, pool.heap_size, pool.memory) == (Heap.MEASURED, 256 << 20, 256 << 20)
    assert parse_pool("own", {"dedicated": True, "maximum": 3}).maximum == 3


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([1], "must be a mapping"),
        ({"pool": {}}, "pool: unknown key; the nearest one is pools"),
        (
            {"pools": {"a": {"compartment": 1}}},
            "pools.a.compartment: unknown key; the nearest one is pools.a.compartments",
        ),
        ({"pools": {"a": {"trace_syscalls": 1}}}, "the nearest one is pools.a.debug__trace_syscalls"),
        ({"pools": []}, "pools: must be a mapping"),
        ({"pools": {"a": 3}}, "pools.a: must be a mapping"),
        ({"pools": {"a b": {}}}, "a pool's name must be"),
        ({"pools": {"a" * 64: {}}}, "a pool's name must be"),
        ({"pools": {"a": {"threads": 257}}}, "pools.a.threads: must be an integer from 1 to 256"),
        ({"pools": {"a": {"threads": True}}}, "pools.a.threads"),
        ({"pools": {"a": {"compartments": 0}}}, "pools.a.compartments: must be an integer from 1 to 1023"),
        ({"pools": {"a": {"memory": "1Gib"}}}, "pools.a.memory: `1Gib` is not a size"),
        ({"pools": {"a": {"memory": "1000"}}}, "pools.a.memory: must be a multiple of 4096"),
        ({"pools": {"a": {"memory": "4GiB"}}}, "pools.a.memory"),
        ({"pools": {"a": {"heap": "lazy"}}}, "must be one of on_demand, unmeasured, measured"),
        ({"pools": {"a": {"heap_size": "1GiB"}}}, "pools.a.heap_size: needs heap"),
        ({"pools": {"a": {"heap": "measured", "memory": "1GiB"}}}, "pools.a.memory: more than pools.a.heap_size"),
        ({"pools": {"a": {"ready": 5}}}, "pools.a.ready: 5 is more than pools.a.maximum, 4"),
        ({"pools": {"a": {"dedicated": True, "compartments": 2}}}, "pools.a.dedicated"),
        ({"pools": {"a": {"dedicated": True, "prepared": 1}}}, "pools.a.prepared"),
        ({"pools": {"a": {"prepared": 65}}}, "pools.a.prepared: must be an integer from 0 to 64"),
        ({"pools": {"a": {"prepared_memory": "1GiB"}}}, "pools.a.prepared_memory: must be a multiple of 4096"),
        (
            {"pools": {"a": {"prepared_memory": "2MiB", "memory": "1MiB"}}},
            "pools.a.prepared_memory: more than pools.a.memory",
        ),
        ({"pools": {"a": {"dedicated": "yes"}}}, "must be true or false"),
        ({"run_directory": "run"}, "run_directory: must be an absolute path"),
        ({"log_level": "loud"}, "log_level: must be one of debug, info, warning, error"),
    ],
)
def test_mistake_is_named(document: object, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(document)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), (4096, 4096), ("64KiB", 65536), ("512 MiB", 512 << 20), ("1GiB", 1 << 30), ("0", 0)],
)
def test_size(text: object, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5GiB", "GiB", "1 GB", None, True, [1]])
def test_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize("content", [b"pools: [", b"\xff\xfe", b"pools: {a: !!python/object:os.system {}}"])
def test_file_that_is_not_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hostd.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"hostd\.yaml"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing")


def test_example_documents_every_key() -> None:
    config = load_config(EXAMPLE)
    assert config.pools["dedicated"].dedicated
    text = EXAMPLE.read_text()
    keys = [field.name for kind in (Config, PoolConfig) for field in dataclasses.fields(kind) if field.name != "name"]
    for key in keys:
        if key != "pools":
            assert f"# {key}: " in text, key
    assert text.count("Measurement: ") >= len(keys) - 1


@pytest.mark.parametrize(
    ("settings", "processes"),
    [
        ({"compartments": 10, "maximum": 6}, 30),  # half of it
        ({"compartments": 2, "maximum": 1}, 4),  # but not so few that nothing runs
        ({"compartments": 10, "maximum": 6, "processes": 1}, 1),
        ({"dedicated": True, "maximum": 100}, 50),
    ],
)
def test_one_container_does_not_get_a_whole_pool(settings: dict[str, object], processes: int) -> None:
    assert parse_pool("a", settings).processes == processes
