"""How the shim calls its delegate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shim.delegate import Delegate
from shim.reaper import Reaper
from teemate_runtime.oci.context import parse_context


def test_the_delegate_is_not_told_of_containerds_own_systemd_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`start` would wait until the container has said that it is ready, which few do."""
    program = tmp_path / "crun"
    program.write_text('#!/bin/sh\necho "$NOTIFY_SOCKET,$OTHER"\n')
    program.chmod(0o755)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("OTHER", "kept")
    monkeypatch.setenv("TEEMATE_RUNTIME_CONFIG", "/dev/null")
    context = parse_context([], library="/")
    context.settings.delegate = str(program)

    async def scenario() -> bytes:
        reaper = Reaper()
        reaper.start(asyncio.get_running_loop())
        return await Delegate(context, tmp_path, reaper).run(["start", "c1"])

    assert asyncio.run(scenario()) == b",kept\n"
