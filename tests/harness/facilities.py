"""What this machine must have for the integration tests, each with its cure."""

from __future__ import annotations

import os
from pathlib import Path

from tests.harness import paths


def missing_facilities() -> list[str]:
    """Empty when everything is there."""
    missing = []
    if os.geteuid() != 0:
        missing.append("root: run the tests as root")
    for program in (paths.DOCKER, paths.DOCKERD, paths.CONTAINERD, paths.CTR, paths.RUNC, paths.CRUN):
        if not program.exists():
            missing.append(f"{program}: run `make setup`")
    for program in (paths.HOSTD, paths.TEEMATE, paths.RUNTIME, paths.MATE, paths.LIBOS):
        if not program.exists():
            missing.append(f"{program}: run `make build`")
    if not any(line.split()[2] in ("cgroup", "cgroup2") for line in Path("/proc/mounts").read_text().splitlines()):
        missing.append("control groups: run `make setup`, which mounts them")
    return missing


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")
