"""Mounts under a directory of ours: seen, counted and taken away."""

from __future__ import annotations

import subprocess
from pathlib import Path


def mounts_under(directory: Path) -> list[Path]:
    """Mount points below the directory, deepest first."""
    prefix = f"{directory}/"
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(prefix):
            found.append(Path(point))
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def unmount_all(directory: Path) -> list[Path]:
    """Unmount what is left below the directory. Returns what was left."""
    left = mounts_under(directory)
    for point in left:
        subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)
    return left
