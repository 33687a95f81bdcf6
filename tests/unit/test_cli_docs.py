"""docs/cli.md names everything there is, and nothing that there is not."""

from __future__ import annotations

import re

from teemate_runtime.oci import annotation, main, settings
from teemate_runtime.teemate.__main__ import COMMANDS, command
from teemate_runtime.teemate.lazy_group import LazyGroup
from tests.harness.paths import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()
RUNTIME, OPERATOR = PAGE.split("\n## teemate\n")


def test_commands_of_the_runtime() -> None:
    rows = RUNTIME.split("| command |")[1].split("\n\n")[0]
    named = {word for row in rows.splitlines() for word in re.findall(r"`([a-z]+)`", row.partition(" | ")[0])}
    assert named == set(main._DELEGATED + main._OURS)


def test_annotations_and_settings() -> None:
    written = set(re.findall(r"`(io\.teemate\.[a-z]+)`", RUNTIME)) - {"io.teemate.version", "io.teemate.delegate"}
    assert written == {*annotation._FOR_USERS, annotation.MATE, annotation.UNPROTECTED}
    keys = RUNTIME.split("### runtime.yaml")[1].split("explains them:")[1]
    assert set(re.findall(r"`([a-z_]+)`", keys)) == set(settings.KNOWN)


def test_commands_of_the_operator() -> None:
    rows = [row for row in OPERATOR.splitlines() if row.startswith("| `")]
    named = [re.findall(r"`([a-z]+)`", row.split(" | ")[0]) for row in rows]
    assert {words[0] for words in named} == set(COMMANDS)
    for first, *rest in named:
        found = command.get_command(None, first)  # type: ignore[arg-type]
        if isinstance(found, LazyGroup):
            assert set(rest) == set(found.list_commands(None))  # type: ignore[arg-type]
