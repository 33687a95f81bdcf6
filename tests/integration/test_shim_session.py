"""The same session against the stock shim and ours: what a user of ctr sees must be the same."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.harness import shim as tasks_of
from tests.harness.containerd import OWN_SHIM, STOCK_SHIM
from tests.harness.patience import PATIENCE
from tests.harness.process import clean_environment, wait_until
from tests.harness.shim import Events
from tests.harness.stack import Stack
from tests.integration.shim_session import COMMANDS, assert_same, on_a_terminal, run, session


@pytest.mark.parametrize("name", COMMANDS)
def test_run(tidy: Stack, name: str) -> None:
    native, ours = (run(tidy, shim, name) for shim in (STOCK_SHIM, OWN_SHIM))
    assert native == ours


def test_a_life(tidy: Stack) -> None:
    assert_same(session(tidy, STOCK_SHIM), session(tidy, OWN_SHIM))


def test_events_come_in_order(tidy: Stack) -> None:
    image = tidy.ctr_image("busybox")
    topics: dict[str, list[str]] = {}
    for shim in (STOCK_SHIM, OWN_SHIM):
        with Events(tidy.containerd) as events:
            tidy.containerd.run_with_shim(image, "announced", "sleep", "1000", shim=shim, options=("--detach",))
            tidy.containerd.ctr("tasks", "exec", "--exec-id=e1", "announced", "sh", "-c", "exit 5")
            tidy.containerd.ctr("tasks", "pause", "announced")
            tidy.containerd.ctr("tasks", "resume", "announced")
            tidy.containerd.ctr("tasks", "kill", "--signal=SIGKILL", "announced")
            tasks_of.wait_status(tidy.containerd, "announced", "STOPPED")
            tasks_of.remove(tidy.containerd, "announced")
            events.wait_for("announced", "exit", "exit", *(("delete",) if shim == OWN_SHIM else ()))
        topics[shim] = events.topics("announced")
    expected = ["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit", "delete"]
    assert topics[OWN_SHIM] == expected
    # The stock shim may end before it has told of the task's deletion.
    assert [topic for topic in topics[STOCK_SHIM] if topic != "delete"] == expected[:-1]
    of_exec, of_init = [content for topic, content in events.of("announced") if topic == "exit"]
    assert (of_exec["id"], of_exec["exit_status"]) == ("e1", 5)
    assert (of_init["id"], of_init["exit_status"]) == ("announced", 128 + signal.SIGKILL)


def test_a_program_that_ends_at_once_is_started_before_it_ends(tidy: Stack) -> None:
    image = tidy.ctr_image("programs")
    with Events(tidy.containerd) as events:
        for number in range(5):
            done = tidy.containerd.run_with_shim(image, f"short{number}", "/programs/musl-static/hello")
            assert (done.returncode, done.stdout) == (0, "hello, world\n"), done.stderr
            events.wait_for(f"short{number}", "delete")
    for number in range(5):
        assert events.topics(f"short{number}") == ["create", "start", "exit", "delete"]


def test_exits_of_execs_come_before_that_of_init(tidy: Stack) -> None:
    image = tidy.ctr_image("busybox")
    with Events(tidy.containerd) as events:
        tidy.containerd.run_with_shim(image, "many", "sleep", "1000", options=("--detach",))
        for number in range(3):
            tidy.containerd.ctr("tasks", "exec", f"--exec-id=e{number}", "--detach", "many", "sleep", "1000")
        tidy.containerd.ctr("tasks", "kill", "--signal=SIGKILL", "many")
        tasks_of.wait_status(tidy.containerd, "many", "STOPPED")
        tasks_of.remove(tidy.containerd, "many")
        events.wait_for("many", "delete")
    ended = [content["id"] for topic, content in events.of("many") if topic == "exit"]
    assert ended[-1] == "many" and sorted(ended[:-1]) == ["e0", "e1", "e2"]


def test_terminal(tidy: Stack) -> None:
    assert on_a_terminal(tidy, STOCK_SHIM) == on_a_terminal(tidy, OWN_SHIM)


@pytest.mark.parametrize(
    ("shim", "command"),
    [
        (STOCK_SHIM, ("head", "-n", "5000")),
        (OWN_SHIM, ("head", "-n", "5000")),
        (OWN_SHIM, ("cat",)),  # to the end of input; the stock shim of containerd 1.6 may hang here
    ],
)
def test_standard_input(tidy: Stack, shim: str, command: tuple[str, ...]) -> None:
    image = tidy.ctr_image("busybox")
    text = "".join(f"line {number}\n" for number in range(5000))
    done = subprocess.run(
        tidy.containerd.run_argv(image, "fed", *command, shim=shim),
        input=text,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (0, text), done.stderr


def logged_lines(stack: Stack, shim: str, script: str) -> list[str]:
    """What a container's log file holds once it holds two lines."""
    image = stack.ctr_image("busybox")
    log = stack.directory / f"log-{shim}"
    options = ("--detach", f"--log-uri=file://{log}")
    stack.containerd.run_with_shim(image, "logged", "sh", "-c", script, shim=shim, options=options)
    try:
        assert wait_until(lambda: log.exists() and log.read_text().count("\n") == 2)
    finally:
        tasks_of.remove(stack.containerd, "logged")
    lines = sorted(log.read_text().splitlines())
    log.unlink()
    return lines


def test_output_to_a_file(tidy: Stack) -> None:
    # It lives on: the stock shim loses a stream whose file it opens after the other stream has ended.
    script = "echo out; echo err >&2; exec sleep 1000"
    assert logged_lines(tidy, STOCK_SHIM, script) == logged_lines(tidy, OWN_SHIM, script) == ["err", "out"]


def test_output_of_a_short_program_to_a_file(tidy: Stack) -> None:
    for _ in range(5):
        assert logged_lines(tidy, OWN_SHIM, "echo out; echo err >&2") == ["err", "out"]


def test_output_to_a_program(tidy: Stack) -> None:
    image = tidy.ctr_image("busybox")
    program = tidy.directory / "logger"
    outputs = []
    for shim in (STOCK_SHIM, OWN_SHIM):
        out = tidy.directory / f"logged-{shim}"
        program.write_text(f'#!/bin/sh\nexec 5>&-\n(cat <&3; cat <&4; echo "$CONTAINER_ID $*") > {out}\n')
        program.chmod(0o755)
        options = ("--detach", f"--log-uri=binary://{program}?key=value")
        tidy.containerd.run_with_shim(image, "logged", "sh", "-c", "echo out; echo err >&2", shim=shim, options=options)
        tasks_of.wait_status(tidy.containerd, "logged", "STOPPED")
        tasks_of.remove(tidy.containerd, "logged")
        assert wait_until(lambda out=out: out.exists() and out.read_text().count("\n") == 3)
        outputs.append(out.read_text())
    assert outputs[0] == outputs[1] == "out\nerr\nlogged key value\n"


def test_a_memory_kill_is_announced(tidy: Stack) -> None:
    image = tidy.ctr_image("programs")
    options = ("--detach", f"--memory-limit={48 << 20}")
    with Events(tidy.containerd) as events:
        command = ("/programs/glibc-dynamic/memory_hog", "400")
        done = tidy.containerd.run_with_shim(image, "hungry", *command, options=options)
        assert done.returncode == 0, done.stderr
        tasks_of.wait_status(tidy.containerd, "hungry", "STOPPED")
        tasks_of.remove(tidy.containerd, "hungry")
        events.wait_for("hungry", "delete")
    told = events.topics("hungry")
    assert told.index("oom") < told.index("exit"), "docker takes a kill that is told later for another's"
    (ended,) = [content for topic, content in events.of("hungry") if topic == "exit"]
    assert ended["exit_status"] == 128 + signal.SIGKILL


def test_the_pool_annotation_takes_effect_and_the_pause_container_takes_no_compartment(tidy: Stack) -> None:
    image = tidy.ctr_image("busybox")
    options = ("--detach", "--annotation=io.teemate.pool=small", "--annotation=io.teemate.threads=2")
    pause = ("--detach", "--annotation=io.kubernetes.cri.container-type=sandbox")
    tidy.containerd.run_with_shim(image, "pause", "sleep", "1000", options=pause)
    leased = [lease["container"] for lease in tidy.hostd.leases()]
    assert leased == []
    tidy.containerd.run_with_shim(image, "chosen", "sleep", "1000", options=options)
    (lease,) = tidy.hostd.leases()
    assert (lease["pool"], lease["container"]) == ("small", "default/chosen")
    tasks_of.remove(tidy.containerd, "chosen", "pause")
    assert wait_until(lambda: tidy.hostd.leases() == [])


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("io.teemate.pool=nowhere", ["nowhere"]),
        ("io.teemate.poll=default", ["io.teemate.poll", "io.teemate.pool"]),
        ("io.teemate.memory=900g", ["memory"]),
    ],
)
def test_refusals_are_explained_and_leave_nothing(tidy: Stack, annotation: str, words: list[str]) -> None:
    image = tidy.ctr_image("busybox")
    done = tidy.containerd.run_with_shim(image, "refused", "true", options=(f"--annotation={annotation}",))
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr
    assert "refused" not in tasks_of.delegate_containers(tidy.containerd)
    assert wait_until(lambda: "refused" not in tasks_of.bundles(tidy.containerd))


def test_a_group_shares_one_shim(tidy: Stack) -> None:
    image = tidy.ctr_image("busybox")
    before = tasks_of.shims(tidy)
    options = ("--detach", "--annotation=io.kubernetes.cri.sandbox-id=pod1")
    for name in ("first", "second"):
        done = tidy.containerd.run_with_shim(image, name, "sleep", "1000", options=options)
        assert done.returncode == 0, done.stderr
    assert wait_until(lambda: len(tasks_of.shims(tidy) - before) == 1)  # whoever was called to start it ends
    tasks_of.remove(tidy.containerd, "first")
    assert tidy.containerd.ctr("tasks", "exec", "--exec-id=e", "second", "echo", "here").stdout == "here\n"
    tasks_of.remove(tidy.containerd, "second")
    assert wait_until(lambda: tasks_of.shims(tidy) == before)
