"""Mounts under a directory of ours: seen, counted and taken away."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.world import World


def mounts_under(directory: Path, *, seen_by: int | str = "self") -> list[Path]:
    """Mount points below the directory, deepest first, in the mount namespace of a process."""
    prefix = f"{directory}/"
    found = []
    for line in Path(f"/proc/{seen_by}/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(prefix):
            found.append(Path(point))
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def unmount_all(directory: Path, world: World) -> list[Path]:
    """Unmount what is left below the directory. Returns what was left."""
    left = mounts_under(directory, seen_by=world.pid)
    for point in left:
        subprocess.run(world.argv(["umount", "--lazy", point]), check=False, capture_output=True)
    return left
