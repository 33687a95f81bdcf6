"""A guest with everything that a host has: Python, the daemon, teemate-runtime, runc, sqlite3, python3."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from enclave_host import sigstruct
from teemate_runtime.launcher import script
from tests.harness.images import THREAD_EXIT, build_programs, program
from tests.harness.paths import BIN, LIBOS, MATE, ROOT, RUNC
from tests.harness.rootfs import RootFs
from tests.vm import enclu_run, initramfs, kernels, machine
from tests.vm.kernels import BUILD, Kernel

INSTALLED = Path("/opt/teemate")  # in the guest, wherever the checkout is
PACKAGES = INSTALLED / "packages"
PYTHON = Path("/usr/bin/python3.11")
MODULE = INSTALLED / "teemate.ko"
_CMAC = INSTALLED / "cmac.ko"
PHASE = "stack"

_PACKAGES = (
    "_cffi_backend.cpython-311-x86_64-linux-gnu.so",
    "_yaml",
    "click",
    "cryptography",
    "elftools",
    "google",
    "grpc",
    "grpc_health",
    "markdown_it",
    "mdurl",
    "psutil",
    "pygments",
    "rich",
    "typing_extensions.py",
    "yaml",
)
_SITE = BIN.parent / "lib" / "python3.11" / "site-packages"
# What nothing here imports, and is large
_UNUSED = ("config-3.11-x86_64-linux-gnu", "distutils", "ensurepip", "pydoc_data", "__pycache__")


# runc wants a root that it can leave: a bind of the initramfs.
_COMMAND = f"""\
LOAD
mount --rbind / /new
mount --bind / /new/containers/rootfs
export PYTHONPATH={PACKAGES} PYTHONDONTWRITEBYTECODE=1
chroot /new {PYTHON} -m tests.vm.PROGRAM {INSTALLED}
"""
_MEMORY_MIB = 1024  # all of it is searched
_packing = threading.Lock()


@dataclass(frozen=True)
class Stack:
    """Where EPC pages come from, and what is done with them."""

    name: str
    program: str  # of tests/vm, in the guest
    load: str
    mate: Path
    cpu: str


EMULATED = Stack(
    name="stack",
    program="guest_stack",
    load=f"insmod {MODULE}",
    mate=MATE,
    # The mate's model of ERESUME is IRET, whose stack QEMU reads as if the kernel did: SMAP would forbid it.
    cpu="max,-smap",
)
HARDWARE = Stack(
    name="hardware-stack",
    program="guest_hardware_stack",
    load=f"insmod {_CMAC} && insmod {MODULE} insecure__emulate_enclu=1",
    mate=BUILD / "mate.hardware",
    cpu="max",
)


def boot(
    kernel: Kernel, stack: Stack, *, timeout: int, name: str = "", memory_mib: int = _MEMORY_MIB
) -> machine.Console:
    """Pack all that the stack needs, boot, and keep what was printed in build/vm/runs/NAME-STACK/console.txt."""
    directory = BUILD / "runs" / f"{name or kernel.series}-{stack.name}"
    directory.mkdir(parents=True, exist_ok=True)
    cmac = directory / _CMAC.name
    cmac.write_bytes(enclu_run.crypto_module(kernel, "cmac"))
    with _packing:
        kernels.run("make", "-s", "-C", ROOT / "mate", "SGX=hardware", f"BUILD={BUILD}")
        archive = initramfs.pack(
            directory,
            files={
                str(MODULE).lstrip("/"): kernels.build_module(kernel, ROOT / "kernel_module", "teemate"),
                str(_CMAC).lstrip("/"): cmac,
            },
            phases=[(PHASE, _COMMAND.replace("LOAD", stack.load).replace("PROGRAM", stack.program))],
            layer=_files(stack).layer(),
        )
    console = machine.boot(kernel.image, archive, timeout=timeout, memory_mib=memory_mib, cpu=stack.cpu, cpus=1)
    Path(directory / "console.txt").write_text(console.text)
    return console


def _signing_key() -> bytes:
    """Made here: finding primes takes an emulated processor half a minute."""
    key = generate_private_key(public_exponent=sigstruct.EXPONENT, key_size=sigstruct.KEY_SIZE * 8)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _files(stack: Stack) -> RootFs:
    """The guest's files. What containers run is where it is on this machine."""
    build_programs()
    fs = RootFs()
    for name in ("sqlite3", "python3.11"):
        fs.file(Path("/usr/bin") / name)
    fs.file(program("python3", "python"), "/usr/bin/python3")
    fs.file(program("spawn"), "/usr/bin/spawn")
    fs.tree(Path("/usr/lib/python3.11"), without=_UNUSED)
    fs.file(THREAD_EXIT)
    fs.file(RUNC)
    for folder in ("enclave_host", "teemate_runtime", "shim", "protos"):
        fs.tree(ROOT / folder, str(PACKAGES / folder), without=_UNUSED)
    for name in _PACKAGES:
        path = _SITE / name
        if path.is_dir():
            fs.tree(path, str(PACKAGES / name), without=_UNUSED)
        elif path.exists():
            fs.file(path, str(PACKAGES / name))
    start = script(interpreter=PYTHON, packages=PACKAGES, library=INSTALLED)
    fs.text(str(INSTALLED / "teemate-runtime"), start, mode=0o755)
    fs.copy(LIBOS, str(INSTALLED / LIBOS.name))
    fs.copy(stack.mate, str(INSTALLED / stack.mate.name))
    fs.text(str(INSTALLED / "signing-key.pem"), _signing_key())
    fs.text(str(PACKAGES / "tests" / "__init__.py"), "")
    for name in ("__init__", stack.program, "guest_host", "guest_container", "guest_memory", "guest_stats"):
        path = Path(__file__).with_name(f"{name}.py")
        fs.copy(path, str(PACKAGES / "tests" / "vm" / path.name))
    for folder in ("/containers/rootfs", "/new", "/run", "/var/lib"):
        fs.directory(folder)
    return fs
