"""Debian's kernel source: fetched as a package, unpacked below build/ as far as it is asked for."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from tests.vm.kernels import BUILD, KernelError, run

SERIES = "6.1"
PACKAGE = f"linux-source-{SERIES}"


@functools.cache
def version() -> str:
    """Of the newest package that apt knows."""
    found = re.search(r"Candidate: (\d\S+)", run("apt-cache", "policy", PACKAGE))
    if not found:
        raise KernelError(f"apt knows no package {PACKAGE}: run `apt-get update`, with Debian 12's security suite")
    return found[1]


def unpack(target: Path, *members: str) -> None:
    """Unpack files or folders of the source (all of it if none are named) to target/linux-source-SERIES."""
    run("tar", "-xf", _archive(), "-C", target, *(f"{PACKAGE}/{member}" for member in members))


def scripts() -> Path:
    """The kernel's scripts/, with checkpatch.pl: Debian's linux-kbuild leaves that one out."""
    target = BUILD / "source" / version()
    folder = target / PACKAGE / "scripts"
    complete = target / "scripts-unpacked"
    if not complete.exists():
        unpack(target, "scripts")
        complete.touch()
    return folder


def _archive() -> Path:
    wanted = version()
    target = BUILD / "source" / wanted
    archive = target / f"{PACKAGE}.tar.xz"
    if not archive.exists():
        target.mkdir(parents=True, exist_ok=True)
        run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", f"{PACKAGE}={wanted}", cwd=target)
        package = next(target.glob("*.deb"))
        run("dpkg", "-x", package, target / "package")
        (target / "package" / "usr" / "src" / archive.name).rename(archive)
        package.unlink()
    return archive
