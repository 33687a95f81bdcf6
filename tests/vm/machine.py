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
# One thread for all processors, in turn: before version 8.1 QEMU may translate an instruction while another thread
# overwrites it, and keep the translation (cured by its commit deba78709ae8, "accel/tcg: Always lock pages before
# translation"). Linux patches its own text by way of a breakpoint, which then stays: "Oops: int3".
IN_TURN = ("-accel", "tcg,thread=single")
# One processor, whose time is the number of its instructions: one nanosecond each
COUNTED = (
    *("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"),
    *("-rtc", "base=2024-01-01T00:00:00,clock=vm"),
)
# Of the kernel's watchdogs: a busy host may let the whole machine stand still for long
# Nor does it say much if the timer seems not to tick at boot (no_timer_check).
_PATIENCE = "no_timer_check rcupdate.rcu_cpu_stall_timeout=300 watchdog_thresh=60"
_ESCAPES = re.compile(r"\x1b[^a-zA-Z]*[a-zA-Z]|\r")
# Not at the beginning of a line if what came before did not end its own: the firmware, when the kernel is silent.
_MARK = re.compile(r"@@ (BEGIN|END) (\S+)(?: (\d+))?$")


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
    accelerator: Sequence[str] = IN_TURN,
) -> Console:
    """Run the machine until its init powers it off, or until the time is up."""
    command = [
        "qemu-system-x86_64", "-machine", "q35", "-cpu", cpu, *accelerator,
        "-smp", str(cpus), "-m", str(memory_mib), "-nographic", "-no-reboot", "-nic", "none",
        "-kernel", str(image), "-initrd", str(initramfs),
        "-append", f"console=ttyS0 loglevel=5 oops=panic panic=-1 {_PATIENCE}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    finally:
        process.kill()
    return parse(_ESCAPES.sub("", output.decode(errors="replace")))


def parse(text: str) -> Console:
    """Split a console's text at the marks that init prints."""
    phases: dict[str, Phase] = {}
    current: Phase | None = None
    for line in text.splitlines():
        mark = _MARK.search(line)
        if mark and mark[1] == "BEGIN":
            current = phases.setdefault(mark[2], Phase(mark[2]))
        elif mark and current and mark[2] == current.name:
            current.status = int(mark[3])
            current = None
        elif current:
            current.lines.append(line)
    return Console(text=text, phases=phases, finished="@@ DONE" in text)
