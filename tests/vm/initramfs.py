"""The guest's file system: busybox, the test programs, the module, and an init that runs the phases in turn."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.vm.kernels import KernelError

BUSYBOX = Path("/bin/busybox")
_TOOLS = (
    "cat",
    "chroot",
    "cut",
    "dmesg",
    "echo",
    "grep",
    "insmod",
    "ls",
    "mkdir",
    "mount",
    "poweroff",
    "rmmod",
    "sh",
    "sleep",
)

_INIT = """\
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
{phases}
echo "@@ DONE"
poweroff -f
"""
_PHASE = """\
echo "@@ BEGIN {name}"
({command}) 2>&1
echo "@@ END {name} $?"
"""


def pack(directory: Path, *, files: Mapping[str, Path], phases: Sequence[tuple[str, str]], layer: bytes = b"") -> Path:
    """Write directory/initramfs.cpio.

    `files`: path in the guest to file here; `phases`: name and shell command; `layer`: a tar to put below them.
    """
    if not BUSYBOX.exists():
        raise KernelError(f"{BUSYBOX} is missing: install the package busybox-static")
    tree = directory / "initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    if layer:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            tar.extractall(tree)
    for name in ("bin", "dev", "proc", "sys", "tmp", "t"):
        (tree / name).mkdir(exist_ok=True)
    shutil.copy(BUSYBOX, tree / "bin" / "busybox")
    for tool in _TOOLS:
        (tree / "bin" / tool).symlink_to("busybox")
    for target, source in files.items():
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tree / target)
    init = tree / "init"
    init.write_text(_INIT.format(phases="".join(_PHASE.format(name=n, command=c) for n, c in phases)))
    init.chmod(0o755)

    archive = directory / "initramfs.cpio"
    names = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
    with archive.open("wb") as output:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"],
            cwd=tree,
            input=names.encode(),
            stdout=output,
            check=True,
        )
    return archive
