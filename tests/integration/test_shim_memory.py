"""What a shim costs while its container runs: it shares its memory with its likes, and works on as before."""

from __future__ import annotations

from pathlib import Path

from tests.harness import shim as tasks_of
from tests.harness.process import wait_until
from tests.harness.stack import Stack

# A shim that never gives anything back has 5,800 kB of its own, one started cold more than 15,000.
PRIVATE_KILOBYTES_MAX = 3500


def private_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def comes_to_rest(shim: int) -> bool:
    return wait_until(lambda: private_kilobytes(shim) <= PRIVATE_KILOBYTES_MAX)


def test_a_shim_at_rest_shares_its_memory(tidy: Stack) -> None:
    assert wait_until((tidy.hostd.run_directory / "zygote-shim.sock").exists)
    before = tasks_of.shims(tidy)
    image = tidy.ctr_image("busybox")
    for name in ("first", "second"):
        done = tidy.containerd.run_with_shim(image, name, "sleep", "1000", options=("--detach",))
        assert done.returncode == 0, done.stderr
    started = tasks_of.shims(tidy) - before
    assert len(started) == 2
    for round_number in range(2):
        for shim in started:
            assert comes_to_rest(shim), private_kilobytes(shim)
        for name in ("first", "second"):
            words = ("tasks", "exec", f"--exec-id=e{round_number}", name, "sh", "-c", "echo here; exit 3")
            done = tidy.containerd.ctr(*words)
            assert (done.returncode, done.stdout) == (3, "here\n"), done.stderr
    tasks_of.remove(tidy.containerd, "first", "second")
