"""Memory that containers cost: what their processes hold beside the enclave, and the enclaves' pages."""

from __future__ import annotations

from pathlib import Path

from enclave_host.layout import ENCLAVE_BASE

_ELRANGE_END = 0x7FF0_0000_0000  # no process maps ordinary memory between the enclave and here


def outside_enclave(pid: int) -> int:
    """Proportional set size of the process without its enclave mappings, in bytes."""
    total = 0
    counted = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head, *rest = line.split()
        if "-" in head and not head.endswith(":"):
            address = int(head.partition("-")[0], 16)
            enclave = ENCLAVE_BASE <= address < _ELRANGE_END and "/memfd:" in line
            counted = not enclave
        elif head == "Pss:" and counted:
            total += int(rest[0]) * 1024
    return total
