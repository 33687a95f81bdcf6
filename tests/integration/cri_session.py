"""A scripted session with a pod, as a kubelet would have it. Whatever the handler, the client must be told the same."""

from __future__ import annotations

from typing import Any

import grpc

from protos import cri_pb2 as pb
from tests.harness.cri import Cri
from tests.harness.patience import GRACE
from tests.harness.process import wait_until
from tests.harness.stack import Stack

SHIM_PROCESS = {"teemate": "shim-teemate-v2", "runc": "containerd-shim"}
# Says so when told to end. Perl: its handlers run at any time, also while it sleeps.
POLITE = ("perl", "-e", '$| = 1; $SIG{TERM} = sub { print "ending\\n"; exit 7 }; print "ready\\n"; sleep 1000 while 1')


def shims(stack: Stack, handler: str = "teemate") -> list[int]:
    return [info.pid for info in stack.processes().values() if info.name == SHIM_PROCESS[handler]]


def exited(cri: Cri, container: str) -> bool:
    return bool(cri.status(container).state == pb.CONTAINER_EXITED)


def outcome(cri: Cri, container: str) -> tuple[str, int, str]:
    status = cri.status(container)
    return pb.ContainerState.Name(status.state), status.exit_code, status.reason


def session(cri: Cri, stack: Stack, handler: str) -> dict[str, Any]:
    """The life of one pod with two lasting containers and some short ones; what the client was told."""
    seen: dict[str, Any] = {}
    with cri.pod(handler, annotations={"example.org/owner": "somebody"}) as pod:
        status = cri.pod_status(pod)
        seen["pod"] = (status.state, status.runtime_handler == handler, dict(status.annotations), dict(status.labels))
        sleeper = cri.create(
            pod, "sleeper", "busybox", "sh", "-c", 'echo "to $NAME"; echo "not to" >&2; exec sleep 1000',
            environment={"NAME": "stdout"}, memory_limit=256 << 20,
        )  # fmt: skip
        seen["created"] = outcome(cri, sleeper)
        cri.start(sleeper)
        polite = cri.run(pod, "polite", "perl", *POLITE)
        assert wait_until(lambda: "stdout F ready" in pod.log("polite"))
        seen["running"] = [outcome(cri, each) for each in (sleeper, polite)]
        wait_until(lambda: len(shims(stack, handler)) == 1)  # those of a pod before this one end after their answer
        seen["shims"] = len(shims(stack, handler))
        seen["exec"] = cri.execute(sleeper, ["sh", "-c", "echo out; echo err >&2; exit 3"])
        seen["exec by signal"] = cri.execute(polite, ["perl", "-e", "kill 9, $$"])
        seen["exec too long"] = refusal(lambda: cri.execute(sleeper, ["sleep", "1000"], seconds=1))
        stats = cri.stats(sleeper)
        seen["stats"] = (stats.attributes.metadata.name, stats.cpu.usage_core_nano_seconds.value > 0)
        seen["memory"] = 0 < stats.memory.working_set_bytes.value < stats.memory.available_bytes.value
        cri.update(sleeper, memory_limit=512 << 20)
        stats = cri.stats(sleeper)
        seen["more memory"] = stats.memory.available_bytes.value > 256 << 20
        for name, image, command in (  # of one line each
            ("musl", "programs", ("/programs/musl-static/hello",)),
            ("glibc", "programs", ("/programs/glibc-dynamic/hello",)),
            ("sqlite", "sqlite", ("sqlite3", ":memory:", "select 6 * 7")),
            ("failing", "busybox", ("sh", "-c", "echo failing; exit 9")),
        ):
            short = cri.run(pod, name, image, *command)
            assert wait_until(lambda short=short: exited(cri, short))
            seen[name] = (outcome(cri, short), pod.whole_log(name, lines=1))
            cri.remove(short)
        cri.stop(polite, seconds=GRACE)
        seen["polite"] = (outcome(cri, polite), pod.whole_log("polite", lines=2))
        cri.stop(sleeper, seconds=1)
        seen["sleeper"] = (outcome(cri, sleeper), sorted(pod.whole_log("sleeper", lines=2)))
        seen["exec after the end"] = refusal(lambda: cri.execute(sleeper, ["true"]))
        cri.stop(sleeper)  # once more: no error
        cri.remove(sleeper)
        seen["removed"] = refusal(lambda: cri.status(sleeper))
    return seen


def refusal(call: Any) -> grpc.StatusCode | None:
    """The code with which a call fails; None if it does not."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return None
