"""Runs in the guest: the real daemon, teemate-runtime and runc over the kernel module.

Prints "ok - ..." and "not ok - ..." lines. argv: where full_stack.py has put the daemon's files.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from teemate_runtime.teemate.client import HostClient
from tests.vm import guest_memory, guest_stats
from tests.vm.guest_host import INSTALLED, check, check_isolation, container, run_with_daemon, says, until

# sqlite3 holds its output back until it closes the file
SQL = """\
.output /tmp/first
create table t(id integer primary key, word text);
with recursive n(i) as (select 1 union all select i+1 from n where i < 5000)
insert into t select i, printf('word %05d', i) from n;
select count(*), max(word) from t;
.output /tmp/second
"""
SQL_ANSWER = "5000|word 05000\n"
MORE_SQL = "select count(*) from t where word like '%7%';\n.output stdout\n"
MORE_SQL_ANSWER = "1355\n"

SECRET = bytes.fromhex("c9a13ef2705b8d46e1177ab3d20f6c98")  # masked
COPIES = 500_000
SECRET_SIZE = COPIES * len(SECRET)
MEMORY_MAX = 40 << 20
PYTHON = f"""\
import hashlib, sys, threading
seen = []
threads = [threading.Thread(target=lambda i=i: seen.append(hashlib.sha256(bytes([i]) * 10000).hexdigest()))
           for i in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print("threads", len(set(seen)), flush=True)
hoard = {guest_memory.recipe(SECRET, COPIES)}
print("hoarding", len(hoard), flush=True)
sys.stdin.read()
"""


def run_stack(host: HostClient) -> None:
    def leases() -> list[Any]:
        return host.leases()

    sqlite = container("sqlite", "/usr/bin/sqlite3")
    check(sqlite.start(), "start sqlite3, uid 1000")
    sqlite.tell(SQL)
    check(until(lambda: sqlite.wrote("first") == SQL_ANSWER, "sqlite3 answers"), "sqlite3 works")
    python = container("python", "/usr/bin/python3", "-I", "-S", "-c", PYTHON)
    check(python.start(), "start a PIE python3")
    check(says(python, "threads 3") and says(python, "hoarding"), "python3 works")
    check(len({lease.enclave_id for lease in leases()}) == 1 and len(leases()) == 2, "they share one enclave")
    check_isolation(sqlite, python)
    check(python.memory() > SECRET_SIZE, "the control group of the container counts its compartment")

    check(guest_memory.count(SECRET, enough=COPIES // 2) >= COPIES // 2, "its memory is in the clear: a model")
    os.kill(python.process, signal.SIGKILL)
    check(until(lambda: len(leases()) == 1, "its lease ends"), "SIGKILL ends the lease of one")
    left: list[int] = []

    def is_erased() -> bool:
        left.append(guest_memory.count(SECRET))
        return left[-1] <= guest_memory.OWN_COPIES

    check(until(is_erased, "its memory is erased"), f"nothing of its memory is left in the machine ({left} copies)")
    sqlite.tell(MORE_SQL)
    check(until(lambda: sqlite.wrote("second") == MORE_SQL_ANSWER, "sqlite3 answers"), "the other is undisturbed")
    python.delete()

    spawn = container("spawn", "/usr/bin/spawn", "vfork")
    check(until(spawn.start, "the compartment is free again"), "its compartment serves another container")
    check(says(spawn, "shared 20 kept 1.25 still me 1"), "whose vfork children map it, too")
    until(spawn.has_ended, "it ends")
    spawn.delete()

    guest_stats.check_stats()

    grow = "print('runs', flush=True); x = b'x' * (200 << 20); print('survived')"
    small = container("small", "/usr/bin/python3", "-I", "-S", "-c", grow, memory=MEMORY_MAX)
    check(until(small.start, "the compartment is free once more"), "and then one with memory.max")
    check(says(small, "runs"), "which works")
    check(until(small.has_ended, "it ends") and "survived" not in small.said(), "until its compartment exceeds that")
    small.delete()
    check(until(lambda: len(leases()) == 1, "its lease ends"), "and its lease is back")
    sqlite.tell(".quit\n")
    check(until(sqlite.has_ended, "sqlite3 ends"), "sqlite3 ends by itself")
    sqlite.delete()


sys.exit(run_with_daemon(INSTALLED / "mate", run_stack, provider="kernel-module", pool={"maximum": 1}))
