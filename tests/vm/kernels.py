"""Debian's kernels: fetched as packages, unpacked below build/, never installed. And what is built for them."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "vm"

# Series and the metapackage that names its newest headers in Debian 12's suites.
META_PACKAGES = {"6.1": "linux-headers-amd64", "6.12": "linux-headers-6.12-amd64"}

_XZ_MAGIC = b"\xfd7zXZ\0"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ELF_MAGIC = b"\x7fELF"

_building = threading.Lock()  # two machines may need the same module


class KernelError(Exception):
    """A kernel could not be had or built for."""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot, and the tree that modules for it are built in."""

    series: str
    release: str  # as uname -r says
    headers: Path
    image: Path


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """A command's standard output; what it printed is in the error when it fails."""
    result = subprocess.run(
        ["nice", "-n", "10", *map(str, command)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise KernelError(
            f"{' '.join(map(str, command))}: exit status {result.returncode}\n"
            f"{result.stdout[-4000:]}{result.stderr[-4000:]}"
        )
    return result.stdout + result.stderr if command[0] == "make" else result.stdout


def fetch(series: str) -> Kernel:
    """The newest kernel of a series that the package lists know. Keeps what was fetched before."""
    try:
        return _fetch(series)
    except KernelError:
        if os.geteuid():
            raise
    run("apt-get", "update", "-q")  # the lists may be older than the archive
    return _fetch(series)


def _fetch(series: str) -> Kernel:
    release = _newest_release(series)
    directory = BUILD / series / release
    kernel = Kernel(
        series=series,
        release=release,
        headers=directory / "usr" / "src" / f"linux-headers-{release}",
        image=directory / "vmlinux",  # not packed: QEMU boots it in half the time
    )
    if not kernel.image.exists():
        _unpack(kernel, directory)
    return kernel


def build_module(kernel: Kernel, source: Path, name: str) -> Path:
    """Build a module out of tree with all warnings on; a warning is an error."""
    return _make_module(kernel, source, name) / f"{name}.ko"


def check_module(kernel: Kernel, source: Path, name: str) -> None:
    """Run sparse over a module's sources; what it says is an error."""
    if not shutil.which("sparse"):
        raise KernelError("sparse is missing: install the package sparse")
    _make_module(kernel, source, f"{name}-sparse", "C=2", "CF=-Wsparse-error")


def _make_module(kernel: Kernel, source: Path, name: str, *options: str) -> Path:
    output = BUILD / "modules" / kernel.release / name
    variables = (f"M={output}", "W=1", "CONFIG_DEBUG_INFO_BTF_MODULES=")
    with _building:
        output.mkdir(parents=True, exist_ok=True)
        _mirror(source, output)
        log = run("make", "-s", f"-j{os.cpu_count()}", "-C", kernel.headers, *variables, *options, "modules")
    if re.search(r"\bwarning:", log):
        raise KernelError(f"{name} for {kernel.release} builds with warnings:\n{log}")
    return output


def _mirror(source: Path, output: Path) -> None:
    """Copy the sources that changed: kbuild puts its results beside them."""
    wanted = set()
    for path in source.rglob("*"):
        if path.suffix not in {".c", ".h"} and path.name not in {"Kbuild", "Makefile"}:
            continue
        target = output / path.relative_to(source)
        wanted.add(target)
        content = path.read_bytes()
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for path in [*output.rglob("*.c"), *output.rglob("*.h")]:
        if path not in wanted and not path.name.endswith(".mod.c"):
            path.unlink()


def _newest_release(series: str) -> str:
    package = META_PACKAGES[series]
    listing = run("apt-cache", "show", "--no-all-versions", package)
    match = re.search(r"^Depends: .*?linux-headers-(\S+)", listing, re.MULTILINE)
    if not match:
        raise KernelError(f"apt knows no package {package}: run `apt-get update`, with Debian 12's security suite")
    return match[1].rstrip(",")


def _unpack(kernel: Kernel, directory: Path) -> None:
    downloads = BUILD / "packages" / kernel.release
    downloads.mkdir(parents=True, exist_ok=True)
    headers = f"linux-headers-{kernel.release}"
    depends = run("apt-cache", "depends", headers)
    packages = [f"linux-image-{kernel.release}", headers]
    packages += re.findall(r"Depends: (linux-headers-\S+-common|linux-kbuild-\S+)", depends)
    run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages, cwd=downloads)
    directory.mkdir(parents=True, exist_ok=True)
    for package in downloads.glob("*.deb"):
        run("dpkg", "-x", package, directory)
    # The headers' makefile names where they would be installed.
    makefile = kernel.headers / "Makefile"
    makefile.write_text(makefile.read_text().replace(" /usr/src/", f" {directory}/usr/src/"))
    packed = (directory / "boot" / f"vmlinuz-{kernel.release}").read_bytes()
    partial = kernel.image.with_suffix(".partial")
    partial.write_bytes(_extract(packed))
    partial.rename(kernel.image)


def _extract(packed: bytes) -> bytes:
    """The ELF kernel inside a bzImage."""
    for magic, unpack in ((_XZ_MAGIC, _unpack_xz), (_ZSTD_MAGIC, _unpack_zstd)):
        start = packed.find(magic)
        while start >= 0:
            image = unpack(packed[start:])
            if image.startswith(_ELF_MAGIC):
                return image
            start = packed.find(magic, start + 1)
    raise KernelError("the kernel is packed in a way that is not known here (only xz and zstd are)")


def _unpack_xz(data: bytes) -> bytes:
    try:
        return lzma.LZMADecompressor().decompress(data)
    except lzma.LZMAError:
        return b""


def _unpack_zstd(data: bytes) -> bytes:
    # What follows the frame in the bzImage makes zstd fail at the end: its output up to there is what counts.
    return subprocess.run(
        ["zstd", "-dcq"], input=data, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
    ).stdout
