"""Runs in the guest: the real daemon, teemate-runtime and runc over the kernel module.

Prints "ok - ..." and "not ok - ..." lines. argv: the checkout's path (the same as outside).
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

ROOT = Path(sys.argv[1])
sys.path.insert(0, str(ROOT))

from enclave_host import layout, teemate_uapi  # noqa: E402
from enclave_host.providers.kernel_module import IMAGE_COOKIE  # noqa: E402

BIN = ROOT / ".venv" / "bin"
RUN = Path("/run/teemate")
CONTAINERS = Path("/containers")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TEEMATE_RUNTIME_CONFIG": "/containers/runtime.yaml"}
SECONDS = 150
SKIP_STATUS = 77
LEASE_NAME = "[teemate-lease]"

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
        time.sleep(1)
    check(False, f"in {SECONDS} s: {what}")
    return False


def start_daemon() -> subprocess.Popen[bytes]:
    config = CONTAINERS / "hostd.json"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "run_directory": str(RUN),
                "state_directory": "/containers/state",
                "image": str(ROOT / "build" / "libos.elf"),
                "mate": str(ROOT / "build" / "mate"),
                "provider": "kernel_module",
                "pools": {"default": {"compartments": 2, "threads": 8, "memory": "512MiB", "ready": 1, "maximum": 1}},
            }
        )
    )
    log = (CONTAINERS / "hostd.log").open("wb")
    daemon = subprocess.Popen(
        [BIN / "python", "-m", "enclave_host", "--config", config], cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log
    )
    if not until(lambda: bool(listing("enclave")), "an enclave is ready"):
        raise SystemExit((CONTAINERS / "hostd.log").read_text())
    return daemon


def listing(kind: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [BIN / "python", "-m", "teemate_runtime.teemate", "--host", RUN, kind, "ls", "-o", "json"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    rows: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return rows


class Container:
    """A container of uid 1000 whose root is the guest's own, read-only."""

    def __init__(self, name: str, *arguments: str, memory: int = 0) -> None:
        self.name = name
        self.bundle = CONTAINERS / name
        self.bundle.mkdir()
        namespaces = ["pid", "mount", "ipc", "uts"]
        config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "args": list(arguments),
                "cwd": "/",
                "env": ["PATH=/usr/bin:/bin"],
                "user": {"uid": 1000, "gid": 1000},
                "noNewPrivileges": True,
            },
            "root": {"path": "/containers/rootfs", "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in namespaces],
                "cgroupsPath": f"/{name}",
                "resources": {"memory": {"limit": memory}} if memory else {},
            },
        }
        (self.bundle / "config.json").write_text(json.dumps(config))
        self.output = self.bundle / "output"
        self._input: int = -1

    def start(self) -> bool:
        reader, self._input = os.pipe()
        with self.output.open("wb") as output:
            for words in (["create", "--bundle", str(self.bundle), self.name], ["start", self.name]):
                done = subprocess.run(
                    [BIN / "teemate-runtime", "--root", "/run/oci", *words],
                    env=ENVIRONMENT,
                    stdin=reader,
                    stdout=output,
                    stderr=output,
                )
                if done.returncode:
                    break
        os.close(reader)
        if done.returncode:
            print(self.said()[-2000:])
        return done.returncode == 0

    def tell(self, text: str) -> None:
        os.write(self._input, text.encode())

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wrote(self, name: str) -> str:
        """A file in its /tmp."""
        path = Path(f"/proc/{self.process}/root/tmp/{name}")
        return path.read_text() if path.exists() else ""

    def wait_for(self, text: str) -> bool:
        good = until(lambda: text in self.said(), f"{self.name} says {text!r}")
        if not good:
            print(self.said()[-2000:])
        return good

    @property
    def process(self) -> int:
        state = subprocess.run(
            ["/usr/sbin/runc", "--root", "/run/oci", "state", self.name],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )
        return int(json.loads(state.stdout)["pid"]) if state.returncode == 0 else 0

    def memory(self, name: str) -> int:
        text = (Path("/sys/fs/cgroup") / self.name / name).read_text()
        return int(text.split()[0])

    def delete(self) -> None:
        subprocess.run(
            [BIN / "teemate-runtime", "--root", "/run/oci", "delete", "--force", self.name],
            env=ENVIRONMENT,
            capture_output=True,
        )


# sqlite3 holds its output back until it closes the file
SQL = """\
.output /tmp/first
create table t(id integer primary key, word text);
with recursive n(i) as (select 1 union all select i+1 from n where i < 20000)
insert into t select i, printf('word %05d', i) from n;
select count(*), max(word) from t;
.output /tmp/second
"""
MORE_SQL = "select count(*) from t where word like '%7%';\n.output stdout\n"
PYTHON = """\
import hashlib, json, sys, threading
seen = []
threads = [threading.Thread(target=lambda i=i: seen.append(hashlib.sha256(bytes([i]) * 100000).hexdigest()))
           for i in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps({"threads": len(set(seen))}), flush=True)
hoard = b"S3cret" * 2000000
print("hoarding", len(hoard), flush=True)
sys.stdin.read()
"""


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
    # Each is refused the other's compartment, wherever that has something and where it has nothing
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


def run_stack() -> None:
    daemon = start_daemon()
    check("provider of EPC pages: kernel-module" in (CONTAINERS / "hostd.log").read_text(), "the module is in use")

    sqlite = Container("sqlite", "/usr/bin/sqlite3")
    check(sqlite.start(), "start sqlite3, uid 1000")
    sqlite.tell(SQL)
    check(until(lambda: sqlite.wrote("first") == "20000|word 20000\n", "sqlite3 answers"), "sqlite3 works")
    python = Container("python", "/usr/bin/python3", "-I", "-S", "-c", PYTHON)
    check(python.start(), "start a PIE python3")
    check(python.wait_for('{"threads": 3}') and python.wait_for("hoarding"), "python3 works")
    check(len(listing("enclave")) == 1 and len(listing("lease")) == 2, "they share one enclave")
    check_isolation(sqlite, python)
    check(python.memory("memory.current") > 12_000_000, "the cgroup of the container counts its compartment")

    os.kill(python.process, signal.SIGKILL)
    check(until(lambda: len(listing("lease")) == 1, "its lease ends"), "SIGKILL ends the lease of one")
    sqlite.tell(MORE_SQL)
    check(until(lambda: sqlite.wrote("second") == "6878\n", "sqlite3 answers"), "the other is undisturbed")
    python.delete()

    again = Container("again", "/usr/bin/python3", "-I", "-S", "-c", PYTHON, memory=40 << 20)
    check(until(again.start, "the compartment is free again"), "the compartment, scrubbed, serves another container")
    check(again.wait_for("hoarding"), "which works")
    again.delete()
    small = Container(
        "small", "/usr/bin/python3", "-I", "-S", "-c", "x = b'x' * (200 << 20); print('survived')", memory=40 << 20
    )
    check(until(small.start, "the compartment is free once more"), "a container with memory.max of 40 MiB")
    check(until(lambda: small.process == 0 or not Path(f"/proc/{small.process}/maps").read_text(), "it ends"), "ends")
    check("survived" not in small.said(), "because its compartment counts")
    small.delete()
    sqlite.tell(".quit\n")
    sqlite.delete()
    daemon.send_signal(signal.SIGTERM)
    check(daemon.wait(SECONDS) == 0, "the daemon ends")


def cpu_lacks_xsavec() -> bool:
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    return "xsavec" not in flags.split()


def main() -> None:
    if cpu_lacks_xsavec():
        print("skip - this QEMU's CPU has no XSAVEC, which the LibOS needs")
        sys.exit(SKIP_STATUS)
    (CONTAINERS / "runtime.yaml").write_text(
        f"host: {RUN}\ndelegate: /usr/sbin/runc\nmate: {ROOT}/build/mate\nwait_ms: 60000\n"
    )
    try:
        run_stack()
    finally:
        if failures:
            print((CONTAINERS / "hostd.log").read_text()[-6000:])
    sys.exit(failures != 0)


main()
