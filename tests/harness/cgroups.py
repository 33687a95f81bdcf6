"""A control group of our own around the containers of one daemon, since other daemons' may have the same names."""

from __future__ import annotations

import errno
import secrets
from pathlib import Path

from tests.harness.process import HarnessError, wait_until

ROOT = Path("/sys/fs/cgroup")


def new_name() -> str:
    return f"teemate-test-{secrets.token_hex(4)}"


def _everywhere(name: str) -> list[Path]:
    return [*ROOT.glob(name), *ROOT.glob(f"*/{name}")]


def inside(name: str) -> list[Path]:
    """The groups in the group of that name, in every hierarchy."""
    return [path for cgroup in _everywhere(name) for path in cgroup.glob("*/")]


def remove(name: str) -> None:
    """Remove the group in every hierarchy. Those of its containers go when these do: wait for that."""
    for cgroup in _everywhere(name):
        if not wait_until(lambda cgroup=cgroup: _removed(cgroup)):  # type: ignore[misc]
            raise HarnessError(f"cgroups are left in {cgroup}: {[path.name for path in cgroup.glob('*/')]}")


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True  # a second mount of the same hierarchy
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
