"""In the guest: the real daemon, and containers of the real teemate-runtime and runc.

argv: where full_stack.py has put the daemon's files.
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
from collections.abc import Callable, Mapping
from pathlib import Path

from enclave_host import layout, teemate_uapi
from enclave_host.providers.kernel_module import IMAGE_COOKIE
from teemate_runtime.teemate.client import HostClient
from teemate_runtime.teemate.session import Session
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
SECONDS = 900  # for what a busy machine emulates slowly
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
        time.sleep(0.2)
    check(False, f"in {SECONDS} s: {what}")
    return False


def start_daemon(mate: Path, **pool: object) -> subprocess.Popen[bytes]:
    (CONTAINERS / "runtime.yaml").write_text(f"host: {RUN}\ndelegate: /usr/sbin/runc\nmate: {mate}\nwait_ms: 60000\n")
    config = CONTAINERS / "hostd.json"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "run_directory": str(RUN),
                "state_directory": str(CONTAINERS / "state"),
                "image": str(INSTALLED / "libos.elf"),
                "mate": str(mate),
                "signing_key": str(INSTALLED / "signing-key.pem"),
                "zygote": False,  # a further two interpreters
                "pools": {"default": {"compartments": 2, "threads": 8, "memory": "512MiB", "ready": 1, **pool}},
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


def check_isolation(one: Container, other: Container) -> None:
    first, second = take_lease(one.process), take_lease(other.process)
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
    maps = [Path(f"/proc/{c.process}/maps").read_text() for c in (one, other)]
    check(LEASE_NAME in maps[0] and address not in maps[0] and address in maps[1], "each maps its own compartment only")


def run_with_daemon(
    mate: Path, body: Callable[[HostClient], None], *, provider: str, pool: Mapping[str, object]
) -> int:
    """An exit status."""
    daemon = start_daemon(mate, **pool)
    try:
        check(f"provider of EPC pages: {provider}" in LOG.read_text(), f"the daemon has chosen {provider}, and says so")
        with HostClient(Session(run_directory=RUN)) as host:
            body(host)
        daemon.send_signal(signal.SIGTERM)
        check(daemon.wait(SECONDS) == 0, "the daemon ends")
    finally:
        if failures or daemon.poll() != 0:
            print(LOG.read_text()[-6000:])
    return failures != 0
