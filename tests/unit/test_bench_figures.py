"""A benchmark's ratio is of values that were taken side by side."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import pytest

from bench import figures
from bench.figures import Suite, compare


def test_ratio_is_the_median_of_the_rounds_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # 2 x in every round but one, on a machine whose speed changes: the medians alone say 200 / 30
    before = cycle([0, 10, 20, 30, 400, 500])
    after = cycle([0, 20, 40, 200, 800, 1000])
    figure = compare(
        "case", unit="ms", rounds=5, baseline=("a", lambda: next(before)), measured=("b", lambda: next(after)), target=2
    )
    assert (figure.baseline_median, figure.measured_median, figure.ratio, figure.samples) == (30, 200, 2, 5)
    monkeypatch.setattr(figures, "DIRECTORY", tmp_path)
    (row,) = json.loads(Suite(name="s", title="S", figures=[figure]).write().read_text())["figures"]
    assert (row["name"], row["ratio"], row["target"]) == ("case", 2, 2)
