"""The kernel's own selftests of SGX, unmodified: taken out of Debian's linux-source package, built, and judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.vm.kernels import BUILD, KernelError, run

# What the selftests' makefile and sources refer to.
_NEEDED = (
    "arch/x86/include",
    "scripts",
    "tools/include",
    "tools/scripts",
    "tools/testing/selftests/kselftest.h",
    "tools/testing/selftests/kselftest_harness.h",
    "tools/testing/selftests/lib.mk",
    "tools/testing/selftests/sgx",
    "tools/testing/selftests/x86",
)
_PROGRAMS = ("test_sgx", "test_encl.elf")
_RESULT = re.compile(r"^(ok|not ok) \d+ (?:# SKIP )?(\S+)(?:.*?# SKIP(.*))?$")


def build(series: str, *, name: str = "selftests", options: Sequence[str] = ()) -> Path:
    """Build the selftests of a kernel series. Returns the directory with test_sgx and test_encl.elf."""
    source = _source(series)
    output = BUILD / "selftests" / series / name
    output.mkdir(parents=True, exist_ok=True)
    run("make", "-s", "-C", source / "tools" / "testing" / "selftests" / "sgx", f"OUTPUT={output}", *options)
    for program in _PROGRAMS:
        if not (output / program).exists():
            raise KernelError(f"the selftests of Linux {series} do not build: no {output / program}")
    return output


def results(lines: Sequence[str]) -> dict[str, str]:
    """Test to "pass", "fail" or "skip", from the TAP lines that test_sgx prints."""
    found: dict[str, str] = {}
    for line in lines:
        match = _RESULT.match(line.strip())
        if match:
            skipped = "# SKIP" in line
            found[match[2]] = "skip" if skipped else "pass" if match[1] == "ok" else "fail"
    return found


def _source(series: str) -> Path:
    """The part of the kernel's sources that the selftests need, unpacked."""
    directory = BUILD / "selftests" / series / "source"
    if directory.exists():
        return directory
    downloads = BUILD / "packages" / f"source-{series}"
    downloads.mkdir(parents=True, exist_ok=True)
    package = f"linux-source-{series}"
    if not list(downloads.glob("*.deb")):
        run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package, cwd=downloads)
    unpacked = downloads / "unpacked"
    run("dpkg", "-x", next(downloads.glob("*.deb")), unpacked)
    archive = unpacked / "usr" / "src" / f"{package}.tar.xz"
    partial = directory.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)
    members = [f"{package}/{path}" for path in _NEEDED]
    run("tar", "-x", "-I", "xz -T0", "-f", archive, "--strip-components=1", "-C", partial, *members)
    archive.unlink()
    partial.rename(directory)
    return directory
