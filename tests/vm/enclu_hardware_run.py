"""One boot in which the mate as it is built for SGX hardware runs programs over emulated ENCLU."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from enclave_host import sigstruct
from enclave_host.blueprint import draw_blueprint
from enclave_host.image import load_image
from enclave_host.measure import measure
from tests.harness.images import THREAD_EXIT, build_programs, program
from tests.harness.paths import BIN, LIBOS
from tests.harness.rootfs import RootFs
from tests.vm import enclu_run, initramfs, kernels, machine
from tests.vm.enclu_hardware import COMMANDS, PLAN, PROGRAMS
from tests.vm.kernels import BUILD, ROOT, Kernel

_PACKAGES = "/t/packages"
_SITE = BIN.parent / "lib" / "python3.11" / "site-packages"
_IMPORTED = ("_cffi_backend.cpython-311-x86_64-linux-gnu.so", "cryptography", "elftools", "yaml", "_yaml")
_RUN = f"""\
insmod /t/cmac.ko && insmod /t/teemate.ko insecure__emulate_enclu=1 &&
PYTHONPATH={_PACKAGES} PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3.11 -m tests.vm.guest_hardware \\
    /t/mate.hardware /t/libos.elf /t/sigstruct
"""
_PROGRAMS = [
    command[0].removeprefix(f"{PROGRAMS}/").split("/") for command in COMMANDS.values() if PROGRAMS in command[0]
]
PHASE = "hardware-mate"


def boot(kernel: Kernel, *, timeout: int, name: str = "", memory_mib: int = 1024) -> machine.Console:
    """Build all that it needs, boot, and keep what was printed in build/vm/runs/NAME-hardware/console.txt."""
    directory = BUILD / "runs" / f"{name or kernel.series}-hardware"
    directory.mkdir(parents=True, exist_ok=True)
    build_programs()
    kernels.run("make", "-s", "-C", ROOT / "mate", "SGX=hardware", f"BUILD={BUILD}")
    signed, cmac = directory / "sigstruct", directory / "cmac.ko"
    signed.write_bytes(_sign())
    cmac.write_bytes(enclu_run.crypto_module(kernel, "cmac"))
    archive = initramfs.pack(
        directory,
        files={
            "t/teemate.ko": kernels.build_module(kernel, ROOT / "kernel_module", "teemate"),
            "t/cmac.ko": cmac,
            "t/sigstruct": signed,
            "t/mate.hardware": BUILD / "mate.hardware",
            "t/libos.elf": LIBOS,
        },
        phases=[(PHASE, _RUN)],
        layer=_files().layer(),
    )
    console = machine.boot(kernel.image, archive, timeout=timeout, memory_mib=memory_mib)
    Path(directory / "console.txt").write_text(console.text)
    return console


def _sign() -> bytes:
    """Made here: finding primes takes an emulated processor half a minute."""
    key = generate_private_key(public_exponent=sigstruct.EXPONENT, key_size=sigstruct.KEY_SIZE * 8)
    return sigstruct.sign(measure(draw_blueprint(load_image(LIBOS), PLAN)), key, date=datetime.date(2024, 1, 1))


def _files() -> RootFs:
    fs = RootFs()
    fs.file(Path("/usr/bin/python3.11"))
    fs.tree(Path("/usr/lib/python3.11"))
    for kind, name in _PROGRAMS:
        fs.file(program(name, kind), f"{PROGRAMS}/{kind}/{name}")
    fs.file(Path("/usr/bin/sqlite3"))
    fs.file(THREAD_EXIT)
    fs.tree(ROOT / "enclave_host", f"{_PACKAGES}/enclave_host")
    fs.text(f"{_PACKAGES}/tests/__init__.py", "")
    for name in ("__init__", "enclu_hardware", "guest_hardware"):
        path = Path(__file__).with_name(f"{name}.py")
        fs.copy(path, f"{_PACKAGES}/tests/vm/{path.name}")
    for name in _IMPORTED:
        if (_SITE / name).is_dir():
            fs.tree(_SITE / name, f"{_PACKAGES}/{name}")
        else:
            fs.file(_SITE / name, f"{_PACKAGES}/{name}")
    return fs
