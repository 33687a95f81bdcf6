"""Boots a kernel with an initramfs in QEMU (emulation: no KVM needed) and reads the serial console."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Any of these in the console is the kernel complaining about itself, whatever the tests say.
_COMPLAINT = re.compile(
    r"WARNING:|BUG:|BUG\b.*\bcorrupt|Oops|general protection|KASAN|KFENCE|UBSAN|INFO: task .* blocked|"
    r"possible (circular|recursive) locking|inconsistent lock state|suspicious RCU|sleeping function called|"
    r"self-detected stall|Kernel panic|unreferenced object|list_(add|del) corruption|Bad page (state|map)|"
    r"refcount_t:|Busy inodes"
)
# Each processor is a thread
PARALLEL = ("-accel", "tcg,thread=multi")
# One processor, whose time is the number of its instructions: one nanosecond each
COUNTED = (
    *("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"),
    *("-rtc", "base=2024-01-01T00:00:00,clock=vm"),
)
BOOT_TRIES = 3
_EMULATION_FAULT = "Oops: int3"
_ESCAPES = re.compile(r"\x1b[^a-zA-Z]*[a-zA-Z]|\r")
_MARK = re.compile(r"^@@ (BEGIN|END) (\S+)(?: (\d+))?$")


@dataclass
class Phase:
    """What one command in the guest printed."""

    name: str
    status: int | None = None  # None: never ended
    lines: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        return [line for line in self.lines if line.startswith("not ok")]

    @property
    def passed(self) -> int:
        return sum(line.startswith("ok") for line in self.lines)


@dataclass(frozen=True)
class Console:
    """What a boot printed, in phases."""

    text: str
    phases: dict[str, Phase]
    finished: bool

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.text.splitlines() if _COMPLAINT.search(line)]


def boot(
    image: Path,
    initramfs: Path,
    *,
    timeout: int,
    memory_mib: int = 512,
    cpu: str = "max",
    cpus: int = 2,
    accelerator: Sequence[str] = PARALLEL,
) -> Console:
    """Run the machine until its init powers it off, or until the time is up.

    QEMU's emulation is not safe against a kernel that patches its own text while another CPU runs it, as Linux does
    when it boots and when a feature is first used. A run that ends in that way is tried again.
    """
    command = [
        "nice", "-n", "10", "qemu-system-x86_64", "-machine", "q35", "-cpu", cpu, *accelerator,
        "-smp", str(cpus), "-m", str(memory_mib), "-nographic", "-no-reboot", "-nic", "none",
        "-kernel", str(image), "-initrd", str(initramfs),
        "-append", "console=ttyS0 loglevel=5 oops=panic panic=-1",
    ]  # fmt: skip
    for _ in range(BOOT_TRIES - 1):
        console = _boot_once(command, timeout)
        if _EMULATION_FAULT not in console.text:
            return console
    return _boot_once(command, timeout)


def _boot_once(command: Sequence[str], timeout: int) -> Console:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    return parse(_ESCAPES.sub("", output.decode(errors="replace")))


def parse(text: str) -> Console:
    """Split a console's text at the marks that init prints."""
    phases: dict[str, Phase] = {}
    current: Phase | None = None
    for line in text.splitlines():
        mark = _MARK.match(line)
        if mark and mark[1] == "BEGIN":
            current = phases.setdefault(mark[2], Phase(mark[2]))
        elif mark and current and mark[2] == current.name:
            current.status = int(mark[3])
            current = None
        elif current:
            current.lines.append(line)
    return Console(text=text, phases=phases, finished="@@ DONE" in text)
