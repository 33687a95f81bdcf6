"""What a program in a container must not see of the machinery that runs it."""

from __future__ import annotations

from pathlib import Path

from enclave_host.layout import ENCLAVE_BASE
from tests.harness.process import wait_until
from tests.harness.stack import Stack
from tests.integration.comparison import assert_same, protected


def test_no_descriptor_shows(tidy: Stack) -> None:
    assert_same(tidy, "busybox", "ls", "/proc/self/fd")
    script = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))); os.closerange(3, 1 << 20); print(1)"
    assert_same(tidy, "python", "python3", "-c", script)


def test_descriptors_cannot_be_used(tidy: Stack) -> None:
    script = """
import os
alive = []
for fd in range(3, 1100000):
    try:
        os.fstat(fd)
    except OSError:
        continue
    alive.append(fd)
print(alive)
"""
    assert_same(tidy, "python", "python3", "-c", script)


def test_closing_everything_does_no_harm(tidy: Stack) -> None:
    script = "import os\nfor fd in range(3, 70000):\n  try: os.close(fd)\n  except OSError: pass\nprint('alive')"
    assert protected(tidy, "python", ("python3", "-c", script)).output == b"alive\n"


def test_environment_and_directory_are_the_users(tidy: Stack) -> None:
    assert_same(tidy, "busybox", "env", options=("--env=A=1",))
    assert_same(tidy, "busybox", "ls", "-a", "/")


def test_mate_is_not_writable(tidy: Stack) -> None:
    script = """
import os
for attempt in (lambda p: open(p, 'r+b'), os.unlink, lambda p: os.rename(p, '/tmp/x'), os.truncate):
    try:
        attempt('/dev/.teemate/mate', *([0] if attempt is os.truncate else []))
        print('done')
    except OSError as error:
        print(type(error).__name__)
"""
    seen = protected(tidy, "python", ("python3", "-c", script))
    assert b"done" not in seen.output and seen.output.count(b"\n") == 4, seen


def test_a_compartment_is_mapped_by_its_holder_only(tidy: Stack) -> None:
    """Two containers of one enclave: neither process maps a memfd of the other's compartment."""
    image = tidy.docker_image("busybox")
    words = ("run", "--detach", "--runtime=teemate", image, "sleep", "1000")
    names = [tidy.docker.check(*words) for _ in range(2)]
    try:
        leases = tidy.hostd.leases()
        assert len({lease["enclave_id"] for lease in leases}) == 1
        pids = [int(tidy.docker.inspect(name, "{{.State.Pid}}")) for name in names]
        assert wait_until(lambda: all(writable_memfds(pid) for pid in pids))
        inodes = [writable_memfds(pid) for pid in pids]
        assert not inodes[0] & inodes[1]
    finally:
        tidy.docker.check("rm", "--force", *names)


def writable_memfds(pid: int) -> set[str]:
    """Inodes of the memfds which the process maps writable inside ELRANGE."""
    found = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, access, _, _, inode, *name = line.split()
        inside = int(addresses.partition("-")[0], 16) >= ENCLAVE_BASE
        if inside and "w" in access and name and name[0].startswith("/memfd:"):
            found.add(inode)
    return found
