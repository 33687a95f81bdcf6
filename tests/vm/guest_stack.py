"""Runs in the guest: the real daemon, teemate-runtime and runc over the kernel module.

Prints "ok - ..." and "not ok - ..." lines. argv: where full_stack.py has put the daemon's files.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enclave_host import layout, teemate_uapi
from enclave_host.providers.kernel_module import IMAGE_COOKIE
from teemate_runtime.teemate.client import HostClient
from teemate_runtime.teemate.session import Session
from tests.vm import guest_memory
from tests.vm.guest_container import CONTAINERS, Container

INSTALLED = Path(sys.argv[1])
RUN = Path("/run/teemate")
LOG = CONTAINERS / "hostd.log"
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": os.environ["PYTHONPATH"],
    "TEEMATE_RUNTIME_CONFIG": str(CONTAINERS / "runtime.yaml"),
}
RUNTIME = [str(INSTALLED / "teemate-runtime"), "--root", "/run/oci"]
SECONDS = 300  # for what a busy machine emulates slowly
LEASE_NAME = "[teemate-lease]"

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

failures = 0


def check(good: bool, what: str) -> None:
    global failures
    print("ok -" if good else "not ok -", what, flush=True)
    failures += not good


def until(done: Callable[[], bool], what: str) -> bool:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.2)
    check(False, f"in {SECONDS} s: {what}")
    return False


def start_daemon() -> subprocess.Popen[bytes]:
    config = CONTAINERS / "hostd.json"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "run_directory": str(RUN),
                "state_directory": str(CONTAINERS / "state"),
                "image": str(INSTALLED / "libos.elf"),
                "mate": str(INSTALLED / "mate"),
                "signing_key": str(INSTALLED / "signing-key.pem"),
                "zygote": False,  # a further two interpreters
                "pools": {"default": {"compartments": 2, "threads": 8, "memory": "512MiB", "ready": 1, "maximum": 1}},
            }
        )
    )
    with LOG.open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "enclave_host", "--config", config], env=ENVIRONMENT, stdout=log, stderr=log
        )
    until(lambda: daemon.poll() is not None or "serving in" in LOG.read_text(), "the daemon serves")
    return daemon


def container(name: str, *arguments: str, memory: int = 0) -> Container:
    return Container(name, *arguments, runtime=RUNTIME, environment=ENVIRONMENT, memory=memory)


def says(which: Container, text: str) -> bool:
    good = until(lambda: text in which.said() or which.has_ended(), f"{which.name} says {text!r}") and (
        text in which.said()
    )
    if not good:
        print(which.said()[-2000:])
    return good


def take_lease(process: int) -> int:
    """A copy of the descriptor of the compartment's lease, out of a living container."""
    pidfd = os.pidfd_open(process)
    for link in sorted(Path(f"/proc/{process}/fd").iterdir(), key=lambda path: int(path.name)):
        if LEASE_NAME in str(link.readlink()):
            fd = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, int(link.name), 0)  # pidfd_getfd
            if fd >= 0 and teemate_uapi.lease_info(fd).cookie != IMAGE_COOKIE:
                os.close(pidfd)
                return int(fd)
            os.close(fd)
    raise OSError(errno.ENOENT, f"process {process} holds no lease")


def mapping_error(fd: int, offset: int) -> int:
    """errno of an attempt to map a page of the enclave by way of a lease."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    address = libc.mmap(layout.ENCLAVE_BASE + offset, mmap.PAGESIZE, mmap.PROT_READ, 0x100001, fd, offset)
    if address != ctypes.c_void_p(-1).value:
        return 0
    return ctypes.get_errno()


def check_isolation(sqlite: Container, python: Container) -> None:
    first, second = take_lease(sqlite.process), take_lease(python.process)
    own = [teemate_uapi.lease_info(fd).cookie for fd in (first, second)]
    check(sorted(own) == [0, 1], f"they hold compartments {own} of one enclave")
    # Each is refused the other's memory, and the TCSs that it would enter by
    for fd, foreign in ((first, own[1]), (second, own[0])):
        start = layout.compartment_offset(foreign)
        errors = {
            mapping_error(fd, start + at) for at in (layout.HEADER_OFFSET, layout.THREADS_OFFSET, layout.APP_OFFSET)
        }
        check(errors == {errno.EACCES}, f"the kernel refuses compartment {foreign} to the other's lease ({errors})")
    os.close(first)
    os.close(second)
    address = f"{layout.ENCLAVE_BASE + layout.compartment_offset(own[1]) + layout.HEADER_OFFSET:x}-"
    maps = [Path(f"/proc/{c.process}/maps").read_text() for c in (sqlite, python)]
    check(LEASE_NAME in maps[0] and address not in maps[0] and address in maps[1], "each maps its own compartment only")


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


def main() -> None:
    (CONTAINERS / "runtime.yaml").write_text(
        f"host: {RUN}\ndelegate: /usr/sbin/runc\nmate: {INSTALLED}/mate\nwait_ms: 60000\n"
    )
    daemon = start_daemon()
    try:
        check(
            "provider of EPC pages: kernel-module" in LOG.read_text(), "the daemon has chosen the module, and says so"
        )
        with HostClient(Session(run_directory=RUN)) as host:
            run_stack(host)
        daemon.send_signal(signal.SIGTERM)
        check(daemon.wait(SECONDS) == 0, "the daemon ends")
    finally:
        if failures or daemon.poll() != 0:
            print(LOG.read_text()[-6000:])
    sys.exit(failures != 0)


main()
