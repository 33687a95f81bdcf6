"""Memory of a container's process outside the enclave."""

import re
from pathlib import Path

_HEADER = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")
_ENCLAVE_FILE = "/memfd:teemate-"


def process_memory(pid: int) -> int:
    """Proportional set size in bytes without the enclave's pages, 0 when the process has gone."""
    try:
        smaps = Path(f"/proc/{pid}/smaps").read_text(errors="replace")
    except OSError:
        return 0
    total = 0
    in_enclave = False
    for line in smaps.splitlines():
        if _HEADER.match(line):
            in_enclave = _ENCLAVE_FILE in line
        elif line.startswith("Pss:") and not in_enclave:
            total += int(line.split()[1]) * 1024
    return total
