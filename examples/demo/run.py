"""One variant of the demo: every job started through docker, held, measured, ended and checked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from examples.demo.jobs import DONE, JOBS, STARTED, Job
from examples.demo.memory import outside_enclave
from tests.harness.stack import Stack


class DemoError(Exception):
    """A container did not do what it should."""


@dataclass(frozen=True)
class Variant:
    """A stage of its own, so that its memory is its own, and the runtime that the containers get there."""

    name: str
    runtime: str
    pool: str | None  # None: no enclave
    stack: Stack


@dataclass(frozen=True)
class JobResult:
    name: str
    first_output_ms: float  # from `docker run` to the first byte
    work_ms: float  # from there to `done`
    output: str


@dataclass(frozen=True)
class Holdings:
    """What sixteen containers hold at the same time."""

    enclaves: int
    memory_outside: int  # bytes, all containers' processes without their enclaves
    memory_enclaves: int  # bytes, all enclaves

    @property
    def memory_per_container(self) -> float:
        return (self.memory_outside + self.memory_enclaves) / len(JOBS)


@dataclass(frozen=True)
class VariantResult:
    name: str
    jobs: list[JobResult]
    holdings: Holdings
    enclave_ready_ms: list[float]


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


def time_jobs(variants: list[Variant], *, progress: Callable[[str], None]) -> dict[str, list[JobResult]]:
    """Each job in each variant in turn, so that a slow moment of the machine falls on all of them."""
    results: dict[str, list[JobResult]] = {variant.name: [] for variant in variants}
    for number, job in enumerate(JOBS):
        progress(f"timing {number + 1} of {len(JOBS)}: {job.name}")
        for variant in variants:
            container = Held(stack=variant.stack, job=job, runtime=variant.runtime, name="demo")
            container.end()
            results[variant.name].append(container.result)
    return results


def hold_jobs(variant: Variant, *, progress: Callable[[str], None]) -> tuple[list[JobResult], Holdings]:
    """All jobs alive together: what do they hold?"""
    progress(f"{len(JOBS)} at once: {variant.name}")
    stack = variant.stack
    held = [
        Held(stack=stack, job=job, runtime=variant.runtime, name=f"demo-{number}") for number, job in enumerate(JOBS)
    ]
    pids = [int(stack.docker.inspect(container.name, "{{.State.Pid}}")) for container in held]
    holdings = Holdings(
        enclaves=len({row["enclave_id"] for row in stack.hostd.leases()}) if variant.pool else 0,
        memory_outside=sum(map(outside_enclave, pids)),
        memory_enclaves=stack.hostd.descriptors().memfd_bytes if variant.pool else 0,
    )
    for container in held:
        container.end()
    return [container.result for container in held], holdings


def check_outputs(name: str, expected: list[JobResult], seen: list[JobResult]) -> None:
    """Every program said what it says without an enclave."""
    for reference, job in zip(expected, seen, strict=True):
        if reference.output != job.output:
            raise DemoError(f"{name}: {job.name} said {job.output!r} instead of {reference.output!r}")
