"""containerd and docker in the versions that the shim is for: Debian 12's own, and later ones unpacked beside them.

A later suite is asked for at the mirror, and checked with the key ring, that this machine's own apt uses; its lists and
packages stay in build/. The packages' programs need no newer libc than Debian 12's; runc is the machine's own.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness.containerd import Programs
from tests.harness.paths import BUILD, CONTAINERD, SYSTEM_PATH
from tests.harness.process import clean_environment

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# In every reason for which a test of a later version is skipped: CI accepts that one.
LATER_SUITE = "later Debian suite"


class Unavailable(Exception):
    """This version cannot be had here; the text is the reason for a skip."""


@dataclass(frozen=True)
class Version:
    """One minor version of containerd, and where to look for it: no suites is this machine's own."""

    number: str
    config_version: int
    suites: tuple[str, ...] = ()
    docker: str = ""  # the major version that goes with it in the same suites

    def __str__(self) -> str:
        return self.number

    def programs(self) -> Programs:
        """Fetched on first use. Raises Unavailable."""
        if not self.suites:
            found = _version_of(CONTAINERD)
            if not _is(found, self.number):
                raise Unavailable(f"this machine's containerd is {found}, not {self.number}")
            return Programs()
        binaries = self._fetched(self.number, ("containerd",)) / "usr" / "bin"
        found = _version_of(binaries / "containerd")
        if not _is(found, self.number):
            raise Unavailable(f"containerd {self.number} of a {LATER_SUITE} does not run here: {found}")
        return Programs(containerd=binaries / "containerd", ctr=binaries / "ctr", path=f"{binaries}:{SYSTEM_PATH}")

    def docker_programs(self) -> tuple[Path, Path]:
        """Client and server. Raises Unavailable."""
        root = self._fetched(self.docker, ("docker.io", "docker-cli"))
        client, server = root / "usr" / "bin" / "docker", root / "usr" / "sbin" / "dockerd"
        for program in (client, server):
            done = _call(str(program), "--version")
            if done.returncode:
                raise Unavailable(f"docker {self.docker} of a {LATER_SUITE} does not run here: {done.stderr.strip()}")
        return client, server

    def _fetched(self, number: str, packages: tuple[str, ...]) -> Path:
        """The packages' files, of the first suite whose first package has that version."""
        target = BUILD / f"{packages[0]}-{number}"
        if target.exists():
            return target
        mirror = _mirror()
        seen = []
        for suite in self.suites:
            apt = _Apt(suite, mirror)
            candidate = apt.candidate(packages[0])
            seen.append(f"{suite}: {candidate or 'none'}")
            if _is(candidate, number):
                apt.unpack(packages, target)
                return target
        raise Unavailable(f"no {LATER_SUITE} has {packages[0]} {number} ({', '.join(seen)})")


VERSIONS = (
    Version("1.6", config_version=2),
    Version("1.7", config_version=2, suites=("trixie",), docker="26"),
    Version("2.1", config_version=3, suites=("sid", "forky"), docker="28"),
)


def _is(found: str, number: str) -> bool:
    return found.startswith(f"{number}.")


class _Apt:
    """apt with a sources list, lists and a cache of its own: the machine's are neither read nor changed."""

    def __init__(self, suite: str, mirror: str) -> None:
        self._suite = suite
        self._directory = BUILD / "apt" / suite
        for name in ("lists/partial", "cache/archives/partial"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        sources = self._directory / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        self._options = [
            f"-oDir::Etc::sourcelist={sources}",
            "-oDir::Etc::sourceparts=/dev/null",
            f"-oDir::State::lists={self._directory}/lists",
            "-oDir::State::status=/dev/null",
            f"-oDir::Cache={self._directory}/cache",
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Languages=none",
        ]
        self._run("apt-get", "-qq", "update")

    def candidate(self, package: str) -> str:
        """The suite's version; empty if it has none."""
        found = re.search(r"Candidate: (\d\S*)", self._run("apt-cache", "policy", package))
        return found[1] if found else ""

    def unpack(self, packages: tuple[str, ...], target: Path) -> None:
        """Only the files: no maintainer script runs and nothing is registered."""
        partial = target.with_name(f"{target.name}.partial")
        for package in packages:
            self._run("apt-get", "-qq", "download", package)
            (archive,) = sorted(self._directory.glob(f"{package}_*.deb"))
            self._run("dpkg-deb", "-x", str(archive), str(partial))
            archive.unlink()
        partial.rename(target)

    def _run(self, program: str, *words: str) -> str:
        options = [] if program == "dpkg-deb" else self._options
        done = _call(program, *options, *words, directory=self._directory)
        if done.returncode:
            raise Unavailable(f"{LATER_SUITE} {self._suite}: {program} {words[0]}: {done.stderr.strip()}")
        return done.stdout


def _mirror() -> str:
    """Where this machine gets its own suite from."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    if release.get("ID") != "debian":
        raise Unavailable(f"a {LATER_SUITE} is of no use to {release.get('ID')}")
    done = _call("apt-get", "indextargets", "--no-release-info", "--format", "$(RELEASE) $(SITE)")
    for line in done.stdout.splitlines():
        suite, _, site = line.partition(" ")
        if suite == release.get("VERSION_CODENAME"):
            return site
    raise Unavailable(f"apt on this machine names no mirror that could have a {LATER_SUITE}")


def _version_of(program: Path) -> str:
    """The version number, or why there is none."""
    try:
        done = _call(str(program), "--version")
    except OSError as error:
        return str(error)
    words = done.stdout.split()  # NAME MODULE VERSION REVISION
    return words[2].lstrip("v") if done.returncode == 0 and len(words) > 2 else done.stderr.strip()


def _call(program: str, *words: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
