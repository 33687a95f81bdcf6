"""The other programs: the delegate, docker, containerd."""

from __future__ import annotations

import os

from teemate_runtime.teemate.checks.finding import Finding, lack, note, ok
from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.installation import mate_program
from teemate_runtime.teemate.programs import path_of, version_of


def run() -> list[Finding]:
    return [_delegate(), *[_manager(name, package) for name, package in _MANAGERS], _mate()]


_MANAGERS = (("dockerd", "docker.io"), ("containerd", "containerd"))


def _delegate() -> Finding:
    found = [f"{version} ({path_of(name)})" for name in ("runc", "crun") if (version := version_of(name))]
    if found:
        return ok("OCI runtime to delegate to", ", ".join(found))
    return lack("OCI runtime to delegate to", "neither runc nor crun", cure="apt-get install runc")


def _manager(program: str, package: str) -> Finding:
    version = version_of(program)
    if version:
        return ok(program, f"{version} ({path_of(program)})")
    return note(program, "not found", cure=f"apt-get install {package}, if you want to start containers by it")


def _mate() -> Finding:
    try:
        mate = mate_program()
    except CommandError as error:
        return lack("teemate-runtime", error.message, cure=error.remedy)
    if not os.access(mate, os.X_OK):
        return lack("mate", f"{mate} is missing", cure="make build")
    if os.statvfs(mate).f_flag & os.ST_NOEXEC:
        return lack("mate", f"{mate} is on a file system mounted noexec", cure="install elsewhere, or set `mate`")
    return ok("mate", str(mate))
