"""A bar for each figure, as SVG: the ratio to its baseline on a logarithmic scale."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from bench.figures import DIRECTORY, Figure, Suite

_LABELS, _BARS, _VALUES = 380, 420, 260
_LINE = 24


def write_plot(suites: list[Suite]) -> Path:
    rows: list[Figure | str] = []
    for suite in suites:
        rows += [suite.title, *suite.figures]
    ratios = [figure.ratio for suite in suites for figure in suite.figures] + [1.0]
    low, high = math.log10(min(ratios)), math.log10(max(ratios))
    scale = _BARS / max(high - low, 0.1)

    def x(ratio: float) -> float:
        return _LABELS + (math.log10(ratio) - low) * scale

    body = []
    for number, row in enumerate(rows):
        y = (number + 1) * _LINE
        if isinstance(row, str):
            body.append(f'<text x="8" y="{y + 16}" font-weight="bold">{escape(row)}</text>')
            continue
        good = row.ratio <= (row.target or 1.0)
        left, right = sorted((x(1.0), x(row.ratio)))
        body.append(f'<text x="{_LABELS - 8}" y="{y + 16}" text-anchor="end">{escape(row.name)}</text>')
        body.append(
            f'<rect x="{left:.1f}" y="{y + 4}" width="{max(right - left, 1):.1f}" height="{_LINE - 8}" '
            f'fill="{"#4a8" if good else "#c85"}"/>'
        )
        text = f"{row.ratio:.3g} x ({row.measured_median:.3g} / {row.baseline_median:.3g} {row.unit})"
        body.append(f'<text x="{_LABELS + _BARS + 8}" y="{y + 16}">{escape(text)}</text>')
    height = (len(rows) + 2) * _LINE
    body.append(f'<line x1="{x(1.0):.1f}" y1="{_LINE}" x2="{x(1.0):.1f}" y2="{height - _LINE}" stroke="#333"/>')
    path = DIRECTORY / "bench.svg"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABELS + _BARS + _VALUES}" height="{height}" '
        f'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )
    return path
