"""Runs in the guest: the real daemon with its provider for SGX hardware, over the emulated /dev/sgx_enclave.

Containers run the mate as it is built for hardware. Prints "ok - ..." and "not ok - ..." lines. argv: where
full_stack.py has put the daemon's files.
"""

from __future__ import annotations

import os
import signal
import sys

from teemate_runtime.teemate.client import HostClient
from tests.vm.guest_host import INSTALLED, check, check_isolation, container, run_with_daemon, says, until

SQL = "create table t(word text); insert into t values('first'),('second'); select count(*), max(word) from t;\n"
PYTHON = """\
import sys, threading
seen = []
threads = [threading.Thread(target=lambda i=i: seen.append(i * i)) for i in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print("threads", sum(seen), flush=True)
sys.stdin.read()
"""


def run_stack(host: HostClient) -> None:
    sqlite = container("sqlite", "/usr/bin/sqlite3")
    check(sqlite.start(), "start sqlite3, uid 1000")
    sqlite.tell(f".output /tmp/first\n{SQL}.output /tmp/second\n")
    check(until(lambda: sqlite.wrote("first") == "2|second\n", "sqlite3 answers"), "sqlite3 works")
    python = container("python", "/usr/bin/python3", "-I", "-S", "-c", PYTHON)
    check(python.start() and says(python, "threads 5"), "a PIE python3 works")
    leases = host.leases()
    check(len({lease.enclave_id for lease in leases}) == 1 and len(leases) == 2, "they share one enclave")
    check_isolation(sqlite, python)

    os.kill(python.process, signal.SIGKILL)
    check(until(lambda: len(host.leases()) == 1, "its lease ends"), "SIGKILL ends the lease of one")
    python.delete()
    sqlite.tell("select 'still here';\n.output stdout\n")
    check(until(lambda: sqlite.wrote("second") == "still here\n", "sqlite3 answers"), "the other is undisturbed")

    again = container("again", "/usr/bin/python3", "-I", "-S", "-c", PYTHON)
    check(until(again.start, "there is a compartment") and says(again, "threads 5"), "the next one works, too")
    enclaves = {lease.enclave_id for lease in host.leases()}
    check(len(enclaves) == 2, "in another enclave: what was used cannot be recovered on hardware, and is retired")
    again.delete()
    sqlite.tell(".quit\n")
    check(until(sqlite.has_ended, "sqlite3 ends"), "sqlite3 ends by itself")
    sqlite.delete()


mate = INSTALLED / "mate.hardware"
sys.exit(run_with_daemon(mate, run_stack, provider="hardware", pool={"maximum": 3}))
