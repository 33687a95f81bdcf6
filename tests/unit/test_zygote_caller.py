"""What a child of the zygote takes on of its caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from zygote import caller


def test_no_control_group_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two places where a group of version 2 may be, one is in a file system that takes any file."""
    absent, present = tmp_path / "absent", tmp_path / "present"
    for group in (absent, present):
        group.mkdir()
    (present / "cgroup.procs").touch()
    monkeypatch.setattr(caller, "own_groups", lambda _: iter([absent, tmp_path / "missing", present]))
    caller.join_groups("0::/somewhere-else\n")
    assert list(absent.iterdir()) == []
    assert (present / "cgroup.procs").read_text() == "0"
