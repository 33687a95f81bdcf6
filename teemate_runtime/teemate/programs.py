"""Other people's programs on this host."""

from __future__ import annotations

import os
import shutil
import subprocess

# An operator's PATH may lack the folders where Debian puts runc and dockerd.
_SEARCH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
)


def path_of(name: str) -> str | None:
    return shutil.which(name, path=_SEARCH)


def version_of(name: str) -> str | None:
    """The first line of `NAME --version`; None if there is no such program or it does not run."""
    path = path_of(name)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else None
