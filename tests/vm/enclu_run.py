"""One boot of a kernel in which the module emulates ENCLU, and unmodified SGX programs run over it."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from pathlib import Path

from tests.harness.rootfs import RootFs
from tests.vm import enclaves, initramfs, kernels, machine, selftests
from tests.vm.kernels import BUILD, ROOT, Kernel

EPC_PAGES = 16384
_GUEST = ROOT / "tests" / "vm" / "guest"
_PROBE = ROOT / "tests" / "vm" / "enclu_guest"

# The kernel's module is not built in, and the guest has no modprobe.
_LOAD = f"""\
insmod /t/cmac.ko && insmod /t/teemate.ko insecure__emulate_enclu=1 epc_pages={EPC_PAGES} &&
ls -l /dev/sgx_enclave | grep '^crw-------' && echo 'ok - loaded'
"""

_UNLOAD = """\
for try in 1 2 3 4 5; do rmmod teemate 2>/dev/null && break; sleep 0.2; done
if [ -e /sys/module/teemate ]; then echo "not ok - unload"; else echo "ok - unload"; fi
if [ -e /dev/sgx_enclave ]; then echo "not ok - the device is still there"; else echo "ok - no device"; fi
"""

# Name, and what the guest's shell runs
PHASES = (
    ("enclu-load", _LOAD),
    ("selftests", "cd /t/selftests && ./test_sgx"),
    ("selftests-cpuid", "cd /t/selftests-cpuid && ./test_sgx"),
    ("enclu", "/t/vmtest enclu"),
    ("enclu-death", "/t/vmtest enclu-death"),
    ("enclu-lease", "/t/vmtest enclu-lease"),
    ("enclu-fuzz", "/t/vmtest enclu-fuzz 6000 1"),
    ("enclu-unload", _UNLOAD),
)


def boot(
    kernel: Kernel,
    *,
    phases: Sequence[tuple[str, str]] = PHASES,
    timeout: int,
    name: str = "",
    memory_mib: int = 512,
) -> machine.Console:
    """Build all that the phases need, boot, and keep what was printed in build/vm/runs/NAME-enclu/console.txt."""
    directory = BUILD / "runs" / f"{name or kernel.series}-enclu"
    directory.mkdir(parents=True, exist_ok=True)
    fs = RootFs()
    header = _GUEST / "sgx_cpuid.h"
    for tests, options in (("selftests", ()), ("selftests-cpuid", (f"CC=gcc -include {header}",))):
        programs = selftests.build(kernel.series, name=tests, options=options)
        fs.file(programs / "test_sgx", f"/t/{tests}/test_sgx")
        fs.copy(programs / "test_encl.elf", f"/t/{tests}/test_encl.elf")
    cmac = directory / "cmac.ko"
    cmac.write_bytes(crypto_module(kernel, "cmac"))
    kernels.run("make", "-s", "-C", _GUEST, f"OUT={BUILD}")
    enclave = directory / "probe.enclave"
    enclaves.write(enclave, enclaves.probe(_probe_code(directory)))
    archive = initramfs.pack(
        directory,
        files={
            "t/teemate.ko": kernels.build_module(kernel, ROOT / "kernel_module", "teemate"),
            "t/cmac.ko": cmac,
            "t/vmtest": BUILD / "vmtest",
            "t/probe.enclave": enclave,
        },
        phases=phases,
        layer=fs.layer(),
    )
    console = machine.boot(kernel.image, archive, timeout=timeout, memory_mib=memory_mib)
    Path(directory / "console.txt").write_text(console.text)
    return console


def crypto_module(kernel: Kernel, name: str) -> bytes:
    """A module of the kernel's package, which may be packed, or of the tree that the kernel was built in."""
    folder = kernel.image.parent / "lib" / "modules" / kernel.release / "kernel" / "crypto"
    packed = folder / f"{name}.ko.xz"
    if packed.exists():
        return lzma.decompress(packed.read_bytes())
    plain = folder / f"{name}.ko"
    return (plain if plain.exists() else kernel.headers / "crypto" / f"{name}.ko").read_bytes()


def _probe_code(directory: Path) -> bytes:
    """What the probe enclave executes, as it is in memory."""
    program, code = directory / "probe.elf", directory / "probe.bin"
    kernels.run(
        "gcc", "-nostdlib", "-static", "-Wl,-Ttext=0,-e,entry,--build-id=none", "-o", program, _PROBE / "probe.S"
    )
    kernels.run("objcopy", "-O", "binary", "-j", ".text", program, code)
    return code.read_bytes()
