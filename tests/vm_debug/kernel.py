"""The debug kernel: Debian's linux-source, with kernel.config on top of tinyconfig, built below build/."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tests.vm import kernel_source
from tests.vm.kernels import BUILD, Kernel, KernelError, run

FRAGMENT = Path(__file__).with_name("kernel.config")
BOOT_SECONDS = 7200  # an idle machine takes four minutes
MEMORY_MIB = 2048
_DIRECTORY = BUILD / "debug"
_TREE = _DIRECTORY / kernel_source.PACKAGE
_VERSION = _DIRECTORY / "version"  # of the package that the tree is from
_BUILT = _DIRECTORY / "built"  # what the last complete build was made of

# What building a kernel takes beyond .ci/packages.txt: a file of each package
_TOOLS = {
    "flex": "/usr/bin/flex",
    "bison": "/usr/bin/bison",
    "bc": "/usr/bin/bc",
    "libelf-dev": "/usr/include/libelf.h",
}


def build() -> Kernel:
    """Build the kernel, or what has changed of it."""
    missing = [package for package, file in _TOOLS.items() if not Path(file).exists()]
    if missing:
        raise KernelError(f"a kernel cannot be built: install the packages {' '.join(missing)}")
    version = kernel_source.version()
    if not _VERSION.exists() or _VERSION.read_text() != version:
        _unpack(version)
    wanted = f"{version} {hashlib.sha256(FRAGMENT.read_bytes()).hexdigest()}"
    if not _BUILT.exists() or _BUILT.read_text() != wanted:
        _BUILT.unlink(missing_ok=True)
        _configure()
        run("make", "-s", f"-j{os.cpu_count()}", "bzImage", "modules", cwd=_TREE)
        _BUILT.write_text(wanted)
    return Kernel(
        series=kernel_source.SERIES,
        release=(_TREE / "include" / "config" / "kernel.release").read_text().strip(),
        headers=_TREE,
        image=_TREE / "arch" / "x86" / "boot" / "bzImage",  # with KASAN, vmlinux alone does not boot
    )


def _unpack(version: str) -> None:
    shutil.rmtree(_DIRECTORY, ignore_errors=True)
    _DIRECTORY.mkdir(parents=True)
    kernel_source.unpack(_DIRECTORY)
    _VERSION.write_text(version)


def _configure() -> None:
    run("make", "-s", "tinyconfig", cwd=_TREE)
    run("scripts/kconfig/merge_config.sh", "-m", ".config", FRAGMENT, cwd=_TREE)
    run("make", "-s", "olddefconfig", cwd=_TREE)
    result = set((_TREE / ".config").read_text().splitlines())
    options = [line for line in FRAGMENT.read_text().splitlines() if line.startswith("CONFIG_")]
    refused = [option for option in options if option not in result]
    if refused:
        raise KernelError(f"{FRAGMENT.name}: these options cannot be had as they are: {' '.join(refused)}")
