"""The module's sources: sparse, checkpatch and kernel-doc have nothing to say, and dkms builds them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.vm import kernel_source, kernels
from tests.vm.kernels import BUILD, ROOT, Kernel, KernelError

MODULE = ROOT / "kernel_module"
SOURCES = sorted(path for path in MODULE.rglob("*") if path.suffix in {".c", ".h"})
TEST_MODULES = sorted(path.with_name(f"{path.parent.name}.c") for path in (ROOT / "tests").glob("vm*/*/Kbuild"))
# What a module that builds for several kernels cannot do without
IGNORED = "LINUX_VERSION_CODE,CONSTANT_COMPARISON"
VERSION = "0.1.0"
BAD_SOURCE = """\
#include <linux/module.h>

static int peek(const int __user *pointer)
{
	return *pointer;
}
int bad(const int __user *pointer);
int bad(const int __user *pointer)
{
	return peek(pointer);
}
MODULE_LICENSE("GPL");
"""


def test_sparse(kernel: Kernel) -> None:
    kernels.check_module(kernel, MODULE, "teemate")


def test_sparse_is_in_force(kernel: Kernel, tmp_path: Path) -> None:
    """A pointer to user space that is followed without a copy is found."""
    (tmp_path / "Kbuild").write_text("obj-m := bad.o\n")
    (tmp_path / "bad.c").write_text(BAD_SOURCE)
    with pytest.raises(KernelError, match="dereference of noderef expression"):
        kernels.check_module(kernel, tmp_path, "bad")


def test_checkpatch() -> None:
    scripts = kernel_source.scripts()
    kernels.run(
        *("perl", scripts / "checkpatch.pl", "--no-tree", f"--root={scripts.parent}", "--terse", "--strict"),
        *("--max-line-length=120", f"--ignore={IGNORED}", "--file", *SOURCES, *TEST_MODULES),
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_kernel_doc(source: Path) -> None:
    kernels.run("perl", kernel_source.scripts() / "kernel-doc", "-none", "-Werror", source)


@pytest.fixture(scope="session")
def dkms() -> Path:
    """The program, with the folder of those that it runs: unpacked, since installing it changes how kernels are."""
    packages = BUILD / "packages" / "dkms"
    packages.mkdir(parents=True, exist_ok=True)
    root = BUILD / "dkms" / "root"
    if not root.exists():
        kernels.run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "dkms", "kmod", cwd=packages)
        unpacked = root.with_name("unpacked")
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(parents=True)
        for package in packages.glob("*.deb"):
            kernels.run("dpkg", "-x", package, unpacked)
        for name in ("depmod", "modinfo", "modprobe"):
            (unpacked / "usr" / "sbin" / name).symlink_to(root / "bin" / "kmod")
        unpacked.rename(root)
    return root / "usr" / "sbin" / "dkms"


def test_dkms(kernel: Kernel, dkms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be on a host, but in a tree of its own."""
    monkeypatch.setenv("PATH", f"{dkms.parent}:/usr/sbin:/usr/bin:/sbin:/bin")
    source = tmp_path / "src" / f"teemate-{VERSION}"
    tree = tmp_path / "dkms"
    tree.mkdir()
    shutil.copytree(MODULE, source)
    kernels.run(
        *(dkms, "build", f"teemate/{VERSION}", "-k", kernel.release, "--kernelsourcedir", kernel.headers),
        *("--sourcetree", source.parent, "--dkmstree", tree),
    )
    built = list(tree.glob(f"teemate/{VERSION}/{kernel.release}/*/module/teemate.ko*"))
    assert len(built) == 1, sorted(tree.rglob("*"))
    assert f'VERSION="{VERSION}"' in (MODULE / "dkms.conf").read_text()
    assert f'MODULE_VERSION("{VERSION}")' in (MODULE / "driver.c").read_text()
