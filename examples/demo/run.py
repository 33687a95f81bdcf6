"""One variant of the demo: every job started through docker, held, measured, ended and checked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from examples.demo.jobs import DONE, JOBS, STARTED, Job
from examples.demo.memory import outside_enclave
from tests.harness.stack import Stack


class DemoError(Exception):
    """A container did not do what it should."""


@dataclass(frozen=True)
class JobResult:
    name: str
    first_output_ms: float  # from `docker run` to the first byte
    work_ms: float  # from there to `done`
    output: str


@dataclass(frozen=True)
class VariantResult:
    name: str
    jobs: list[JobResult]
    memory_outside: int  # bytes, all containers
    memory_enclaves: int  # bytes, all enclaves of the daemon
    enclaves: int
    enclave_ready_ms: list[float] = field(default_factory=list)

    @property
    def memory_per_container(self) -> float:
        return (self.memory_outside + self.memory_enclaves) / len(self.jobs)


class Held:
    """A container that has done its work and waits for the end of its input."""

    def __init__(self, *, stack: Stack, job: Job, runtime: str, name: str) -> None:
        self.job = job
        self.name = name
        image = stack.docker_image(job.image)
        begin = time.perf_counter()
        self._process = stack.docker.popen(
            "run", "--rm", "--interactive", f"--name={name}", f"--runtime={runtime}", image, *job.command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout
        if job.stdin:
            self._process.stdin.write(job.stdin)
            self._process.stdin.flush()
        output = self._read_until(b"", lambda seen: seen.startswith(STARTED))
        first = time.perf_counter()
        output = self._read_until(output, lambda seen: seen.endswith(DONE))
        done = time.perf_counter()
        self.result = JobResult(
            name=job.name,
            first_output_ms=(first - begin) * 1000,
            work_ms=(done - first) * 1000,
            output=output.decode(errors="replace"),
        )

    def _read_until(self, seen: bytes, complete: Callable[[bytes], bool]) -> bytes:
        assert self._process.stdout
        while not complete(seen):
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                assert self._process.stderr
                errors = self._process.stderr.read().decode(errors="replace")
                raise DemoError(f"{self.name} ({self.job.name}) ended early; it said {seen!r}\n{errors}")
            seen += part
        return seen

    def end(self) -> None:
        _, errors = self._process.communicate()
        if self._process.returncode:
            raise DemoError(f"{self.name}: status {self._process.returncode}: {errors.decode(errors='replace')}")


def run_variant(stack: Stack, *, name: str, runtime: str, progress: Callable[[str], None]) -> VariantResult:
    """All jobs, one started after the other, all alive together at the end."""
    held = []
    for number, job in enumerate(JOBS):
        progress(f"{name}: container {number + 1} of {len(JOBS)}: {job.name}")
        held.append(Held(stack=stack, job=job, runtime=runtime, name=f"demo-{number}"))
    pids = [int(stack.docker.inspect(container.name, "{{.State.Pid}}")) for container in held]
    protected = runtime != "runc"
    enclaves = {row["enclave_id"] for row in stack.hostd.leases()} if protected else set()
    result = VariantResult(
        name=name,
        jobs=[container.result for container in held],
        memory_outside=sum(map(outside_enclave, pids)),
        memory_enclaves=stack.hostd.descriptors().memfd_bytes if protected else 0,
        enclaves=len(enclaves),
    )
    for container in held:
        container.end()
    return result


def check_outputs(reference: VariantResult, result: VariantResult) -> None:
    """Every program said what it says without an enclave."""
    for expected, seen in zip(reference.jobs, result.jobs, strict=True):
        if expected.output != seen.output:
            raise DemoError(f"{result.name}: {seen.name} said {seen.output!r} instead of {expected.output!r}")
