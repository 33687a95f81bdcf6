"""Where things are: the checkout, what the build leaves, and the programs of the distribution."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
BIN = ROOT / ".venv" / "bin"
PROGRAMS = ROOT / "tests" / "programs"

PYTHON = BIN / "python"
HOSTD = BIN / "teemate-hostd"
TEEMATE = BIN / "teemate"
RUNTIME = BIN / "teemate-runtime"
MATE = BUILD / "mate"
LIBOS = BUILD / "libos.elf"

# The distribution's own, by full path: another docker may come first in PATH.
DOCKER = Path("/usr/bin/docker")
DOCKERD = Path("/usr/sbin/dockerd")
CONTAINERD = Path("/usr/bin/containerd")
CTR = Path("/usr/bin/ctr")
RUNC = Path("/usr/sbin/runc")
CRUN = Path("/usr/bin/crun")

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
