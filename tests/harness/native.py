"""Parts of the LibOS that need no enclave, compiled as ordinary programs with the sanitizers on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.paths import ROOT

ENCLAVE = ROOT / "enclave"
FLAGS = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    f"-I{ENCLAVE}",
)


def compile_native(output: Path, *, driver: Path, sources: tuple[str, ...]) -> Path:
    """Link a driver's main() with files of enclave/."""
    command = ["gcc", *FLAGS, "-o", str(output), str(driver), *(str(ENCLAVE / name) for name in sources)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


def run_driver(name: str, *, directory: Path, sources: tuple[str, ...]) -> None:
    """Compile a driver of tests/unit/native that takes no arguments, and have it find nothing wrong."""
    driver = ROOT / "tests" / "unit" / "native" / f"{name}.c"
    program = compile_native(directory / name, driver=driver, sources=sources)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
