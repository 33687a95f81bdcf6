"""Mutations of config.json and process.json: never a traceback, never a lease that nobody holds.

Seeded, so that a failure can be repeated: TEEMATE_FUZZ_SEED and TEEMATE_FUZZ_ROUNDS.
"""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.harness.runtime import RuntimeUnderTest, minimal_config

SEED = int(os.environ.get("TEEMATE_FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("TEEMATE_FUZZ_ROUNDS", "60"))
MATE = "/dev/.teemate/mate"

ODD_VALUES: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "\0", "/", "..", "x" * 5000, [], {}, [[]], [None], {"": None},
    "io.teemate.pool", ["sh"], {"args": ["sh"]}, "\u017f", "\ud800",
]  # fmt: skip
ODD_KEYS = ["Process", "ARGS", "args", "destination", "annotations", "io.teemate.x", "io.teemate.threads", "\u212a"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        found += places(inner)
    return found


def mutate_tree(value: Any, dice: random.Random) -> bytes:
    changed = copy.deepcopy(value)
    for _ in range(dice.randint(1, 3)):
        candidates = places(changed)
        if not candidates:
            break
        container, key = dice.choice(candidates)
        action = dice.randrange(4)
        if action == 0:
            container[key] = copy.deepcopy(dice.choice(ODD_VALUES))
        elif action == 1:
            del container[key]
        elif action == 2 and isinstance(container, dict):
            container[dice.choice(ODD_KEYS)] = copy.deepcopy(dice.choice(ODD_VALUES))
        elif action == 3 and isinstance(container, list):
            container.insert(0, copy.deepcopy(dice.choice(ODD_VALUES)))
    return json.dumps(changed).encode()


def mutate_bytes(value: Any, dice: random.Random) -> bytes:
    content = bytearray(json.dumps(value).encode())
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(content))
        action = dice.randrange(3)
        if action == 0:
            content[at] = dice.randrange(256)
        elif action == 1:
            del content[at : at + dice.randint(1, 20)]
        else:
            content[at:at] = content[at : at + dice.randint(1, 20)]
        if not content:
            break
    return bytes(content)


def check(runtime: RuntimeUnderTest, *words: str | Path, command: str, case: bytes) -> None:
    before = len(runtime.calls(command))
    done = runtime(*words)
    shown = f"{case!r}\n{done.stderr}"
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr, shown
    assert runtime.host.wait_nothing_held(), shown
    called = runtime.calls(command)[before:]
    if done.returncode:
        assert done.returncode == 1 and done.stderr.startswith("teemate-runtime: error: ") and not called, shown
        return
    edited = called[0]["config"]["process"] if command == "create" else called[0]["process"]
    assert edited["args"][0].endswith("/.teemate/mate") and edited["args"][2] == "--", shown
    assert len(runtime.host.bindings) == len(runtime.host.requests), shown


@pytest.mark.parametrize("mutate", [mutate_tree, mutate_bytes])
def test_config_json(tmp_path: Path, mutate: Any) -> None:
    runtime = RuntimeUnderTest(tmp_path)
    dice = random.Random(SEED)
    base = minimal_config()
    base["annotations"] = {"io.teemate.pool": "default", "other": "x"}
    base["linux"] = {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": "y"}]}}
    for _ in range(ROUNDS):
        case = mutate(base, dice)
        runtime.write_config(case)
        check(runtime, "create", "--bundle", runtime.bundle, "c1", command="create", case=case)
        assert (runtime.bundle / "config.json").read_bytes() == case
        assert [path.name for path in runtime.bundle.iterdir()] == ["config.json"]
    runtime.host.close()


@pytest.mark.parametrize("mutate", [mutate_tree, mutate_bytes])
def test_process_json(tmp_path: Path, mutate: Any) -> None:
    runtime = RuntimeUnderTest(tmp_path)
    runtime.write_state({"io.teemate.pool": "default", "io.teemate.mate": MATE})
    dice = random.Random(SEED)
    process = tmp_path / "process.json"
    for _ in range(ROUNDS):
        case = mutate(minimal_config()["process"], dice)
        process.write_bytes(case)
        check(runtime, "exec", "--process", process, "--detach", "c1", command="exec", case=case)
        assert not list(tmp_path.glob("process.json.*"))
    runtime.host.close()
