"""teemate-runtime's commands, between a fake daemon and a fake delegate."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.fake_host import REFUSAL, UNKNOWN_POOL
from tests.harness.process import wait_until
from tests.harness.runtime import ARGUMENTS, RuntimeUnderTest, minimal_config

MATE = "/dev/.teemate/mate"
LEASE = ["/memfd:grant (deleted)", "/memfd:image (deleted)", "/memfd:compartment (deleted)", "/memfd:channel (deleted)"]


@pytest.fixture(params=[False, True], ids=["cold", "zygote"])
def runtime(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RuntimeUnderTest]:
    """Twice: as a program of its own, and as a front that a zygote answers. Nobody may see a difference."""
    under_test = RuntimeUnderTest(tmp_path, zygote=request.param)
    yield under_test
    assert under_test.host.wait_nothing_held(), "a lease is neither bound nor returned"
    under_test.close()


def files_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_create_puts_the_mate_in_front(runtime: RuntimeUnderTest) -> None:
    before = (runtime.bundle / "config.json").read_bytes()
    done = runtime.create("--pid-file", runtime.directory / "init.pid")
    assert done.returncode == 0, done.stderr
    (call,) = runtime.calls("create")
    expected = minimal_config()
    expected["process"]["args"] = [MATE, "--lease-fd=3", "--", *ARGUMENTS]
    mate = str(runtime.directory / "mate")
    options = ["bind", "ro", "nosuid", "nodev"]
    expected["mounts"].insert(2, {"destination": MATE, "type": "bind", "source": mate, "options": options})
    expected["annotations"] = {"io.teemate.pool": "default", "io.teemate.mate": MATE}
    assert call["config"] == expected
    assert call["descriptors"] == LEASE
    assert "--root=/run/x/ns1" in call["words"] and f"--log={runtime.log}" in call["words"]
    assert (runtime.bundle / "config.json").read_bytes() == before
    assert files_in(runtime.bundle) == {"config.json"}
    (request,) = runtime.host.requests
    assert (request.pool, request.container, request.process) == ("default", "ns1/c1", "")
    (binding,) = runtime.host.bindings
    assert binding.process_id == int((runtime.directory / "init.pid").read_text())


def test_without_a_tmpfs_on_dev_the_mate_is_below_the_root(runtime: RuntimeUnderTest) -> None:
    config = minimal_config()
    config["mounts"] = [{"destination": "/dev/", "type": "bind", "source": "/dev"}]
    runtime.write_config(config)
    assert runtime.create().returncode == 0
    assert runtime.calls("create")[0]["config"]["process"]["args"][0] == "/.teemate/mate"


def test_annotations_choose_what_is_leased(runtime: RuntimeUnderTest) -> None:
    config = minimal_config()
    wanted = {"pool": "blue", "threads": "8", "memory": "256m", "wait": "50"}
    config["annotations"] = {f"io.teemate.{key}": value for key, value in wanted.items()}
    runtime.write_config(config)
    assert runtime("--pool=red", "create", "--bundle", runtime.bundle, "c1").returncode == 0
    (request,) = runtime.host.requests
    assert (request.pool, request.threads, request.memory, request.wait_ms) == ("blue", 8, 256 << 20, 50)
    assert request.flags == 1


@pytest.mark.parametrize(
    ("option", "setting", "expected"), [("red", "green", "red"), (None, "green", "green"), (None, None, "default")]
)
def test_pool_option_wins_over_the_setting(
    runtime: RuntimeUnderTest, option: str | None, setting: str | None, expected: str
) -> None:
    if setting:
        runtime.settings["pool"] = setting
    words = [f"--pool={option}"] if option else []
    assert runtime(*words, "create", "--bundle", runtime.bundle, "c1").returncode == 0
    assert runtime.host.requests[0].pool == expected
    assert not [word for word in runtime.calls("create")[0]["words"] if "--pool" in word]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("io.teemate.pol", "x", "did you mean io.teemate.pool?"),
        ("io.teemate.threads", "many", "give a number"),
        ("io.teemate.memory", "12q", "256m"),
        ("io.teemate.memory", "9999999g", "at most"),
        ("io.teemate.pool", "a/b", "invalid pool name"),
        ("io.teemate.mate", "/bin/sh", "reserved"),
        ("io.teemate.wait", "-1", "give a number"),
    ],
)
def test_bad_annotations_are_refused_before_a_lease(runtime: RuntimeUnderTest, key: str, value: str, told: str) -> None:
    config = minimal_config()
    config["annotations"] = {key: value}
    runtime.write_config(config)
    done = runtime.create()
    assert done.returncode == 1 and key in done.stderr and told in done.stderr
    assert told in (runtime.last_error() or "")
    assert not runtime.host.requests and not runtime.calls("create")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda config: config.pop("process"), "process property must not be empty"),
        (lambda config: config["process"].pop("args"), "args must not be empty"),
        (lambda config: config["process"].update(args=[]), "args must not be empty"),
        (lambda config: config["process"].update(args=["a", 1]), "args is not an array of strings"),
        (lambda config: config["process"].update(args="sh"), "args is not an array of strings"),
        (lambda config: config["process"].update(Args=["/bin/sh"]), "'Args'"),
        (lambda config: config.update({"proce\u017fs": {}}), "process"),
        (lambda config: config.update(mounts={}), "mounts"),
        (lambda config: config["mounts"].append({"destination": "/dev/.teemate/"}), "where the mate appears"),
        (lambda config: config.update(annotations=[]), "annotations"),
        (
            lambda config: config.update(linux={"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}}),
            "seccomp profile denies arch_prctl",
        ),
    ],
)
def test_bad_config_is_refused_before_a_lease(runtime: RuntimeUnderTest, change: object, told: str) -> None:
    config = minimal_config()
    change(config)  # type: ignore[operator]
    runtime.write_config(config)
    done = runtime.create()
    assert done.returncode == 1 and told in done.stderr, done.stderr
    assert not runtime.host.requests and not runtime.calls("create")
    assert files_in(runtime.bundle) == {"config.json"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{} x", b'{"a": NaN}', b"\xff\xfe", b'{"process": 1, "process": 2}', b"[" * 100000]
)
def test_malformed_json_is_refused(runtime: RuntimeUnderTest, content: bytes) -> None:
    runtime.write_config(content)
    done = runtime.create()
    assert done.returncode == 1 and "config.json is not" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_bundle_and_missing_config(runtime: RuntimeUnderTest) -> None:
    assert "cannot be opened" in runtime("create", "--bundle", "/nonexistent", "c1").stderr
    (runtime.bundle / "config.json").unlink()
    assert "config.json not found" in runtime.create().stderr


def test_no_daemon_no_start(runtime: RuntimeUnderTest) -> None:
    runtime.host.close()
    done = runtime.create()
    assert done.returncode == 1
    assert "attach.sock" in done.stderr and "systemctl start teemate-hostd" in done.stderr
    assert "cannot be reached" in (runtime.last_error() or "")
    assert not runtime.calls("create")


def test_no_daemon_and_told_to_go_on(runtime: RuntimeUnderTest) -> None:
    runtime.host.close()
    runtime.settings["insecure__allow_unprotected"] = "true"
    assert runtime.create().returncode == 0
    (call,) = runtime.calls("create")
    assert call["config"]["process"]["args"] == ARGUMENTS
    assert call["config"]["annotations"] == {"io.teemate.unprotected": "true"}
    assert "UNPROTECTED" in runtime.log.read_text()


def test_refused_and_told_to_go_on(runtime: RuntimeUnderTest) -> None:
    """The bundle has been edited for the mate by then."""
    given = json.loads((runtime.bundle / "config.json").read_text())
    runtime.settings["insecure__allow_unprotected"] = "true"
    assert runtime(f"--pool={UNKNOWN_POOL}", "create", "--bundle", runtime.bundle, "c1").returncode == 0
    (call,) = runtime.calls("create")
    assert call["config"] == given | {"annotations": given.get("annotations", {}) | {"io.teemate.unprotected": "true"}}
    assert json.loads((runtime.bundle / "config.json").read_text()) == given


def test_the_daemons_refusal_is_shown(runtime: RuntimeUnderTest) -> None:
    done = runtime(f"--pool={UNKNOWN_POOL}", "create", "--bundle", runtime.bundle, "c1")
    assert done.returncode == 1 and REFUSAL in done.stderr and REFUSAL in (runtime.last_error() or "")
    assert not runtime.calls("create")


@pytest.mark.parametrize("garbage", [b"x", b"\0" * 16, b"TMAP" + b"\xff" * 12, b"y" * 5000])
def test_a_daemon_that_talks_nonsense(runtime: RuntimeUnderTest, garbage: bytes) -> None:
    runtime.host.garbage = garbage
    done = runtime.create()
    assert done.returncode == 1 and "malformed answer" in done.stderr


def test_delegate_failure_keeps_its_status_and_words(runtime: RuntimeUnderTest) -> None:
    before = (runtime.bundle / "config.json").stat()
    runtime.fail("create", status=42)
    done = runtime.create()
    assert done.returncode == 42
    assert done.stderr == "the fake delegate fails as told\n"
    assert runtime.last_error() is None
    assert runtime.host.wait_nothing_held() and not runtime.host.bindings
    after = (runtime.bundle / "config.json").stat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert files_in(runtime.bundle) == {"config.json"}


def test_failed_bind_deletes_the_container(runtime: RuntimeUnderTest) -> None:
    runtime.host.bind_error = errno.ESRCH
    done = runtime.create("--pid-file", runtime.directory / "init.pid")
    assert done.returncode == 1 and "cannot be bound" in done.stderr
    (call,) = runtime.calls("delete")
    assert call["words"][-3:] == ["delete", "--force", "c1"]
    assert not [word for word in call["words"] if word.startswith("--log")]
    assert not (runtime.directory / "init.pid").exists()


def test_an_edit_whose_author_was_killed_is_undone(runtime: RuntimeUnderTest) -> None:
    original = (runtime.bundle / "config.json").read_bytes()
    (runtime.bundle / ".config.json.teemate-saved").write_bytes(original)
    edited = minimal_config()
    edited["process"]["args"] = [MATE, "--lease-fd=3", "--", *ARGUMENTS]
    edited["annotations"] = {"io.teemate.mate": MATE}
    runtime.write_config(edited)
    assert runtime.create().returncode == 0
    assert runtime.calls("create")[0]["config"]["process"]["args"] == [MATE, "--lease-fd=3", "--", *ARGUMENTS]
    assert (runtime.bundle / "config.json").read_bytes() == original
    assert files_in(runtime.bundle) == {"config.json"}


def test_the_callers_descriptors_keep_their_numbers(runtime: RuntimeUnderTest) -> None:
    """The lease comes after them; what else is open at its numbers is overwritten."""
    opening = "import os, sys; [os.dup2(os.memfd_create('mine', 0), n) for n in (5, 4, 3)]; "
    program = opening + "os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, runtime.program, "create", "--preserve-fds", "2", "c1"],
        cwd=runtime.bundle,
        env={
            "TEEMATE_HOST": str(runtime.host.directory),
            "FAKE_DELEGATE": str(runtime.directory),
            "PATH": f"{runtime.directory}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (call,) = runtime.calls("create")
    assert call["descriptors"] == ["/memfd:mine (deleted)"] * 2 + LEASE
    assert call["config"]["process"]["args"][1] == "--lease-fd=5"
    assert "--preserve-fds=6" in call["words"]


def test_preserved_descriptors_must_be_open(runtime: RuntimeUnderTest) -> None:
    done = runtime.create("--preserve-fds", "900")
    assert done.returncode == 1 and "is not open" in done.stderr
    assert not runtime.host.requests


def test_run_forwards_the_exit_status(runtime: RuntimeUnderTest) -> None:
    done = runtime("run", "--bundle", runtime.bundle, "c1")
    assert done.returncode == 7
    assert runtime.host.wait_bound(1)
    # what runs beside the delegate may outlive it for a moment
    assert wait_until(lambda: files_in(runtime.bundle) == {"config.json"})
    assert runtime.calls("run")[0]["descriptors"] == LEASE


def test_run_detached_is_create_and_start(runtime: RuntimeUnderTest) -> None:
    assert runtime("run", "--detach", "--bundle", runtime.bundle, "c1").returncode == 0
    assert runtime.calls("create") and runtime.calls("start") and not runtime.calls("run")


def test_failed_run_restores_the_bundle(runtime: RuntimeUnderTest) -> None:
    runtime.fail("run", status=3)
    assert runtime("run", "--bundle", runtime.bundle, "c1").returncode == 3
    assert files_in(runtime.bundle) == {"config.json"}
    assert json.loads((runtime.bundle / "config.json").read_text()) == minimal_config()


def test_exec_has_a_lease_of_its_own(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({"io.teemate.pool": "blue", "io.teemate.mate": MATE})
    process = runtime.directory / "process.json"
    process.write_text(json.dumps({"args": ["ls", "-l"], "cwd": "/tmp"}))
    pid_file = runtime.directory / "exec7.pid"
    done = runtime("exec", "--process", process, "--detach", "--pid-file", pid_file, "c1")
    assert done.returncode == 0, done.stderr
    (call,) = runtime.calls("exec")
    assert call["process"] == {"args": [MATE, "--lease-fd=3", "--", "ls", "-l"], "cwd": "/tmp"}
    assert call["descriptors"] == LEASE
    (request,) = runtime.host.requests
    assert (request.pool, request.container, request.process) == ("blue", "ns1/c1", "exec7")
    assert runtime.host.bindings[0].process_id == int(pid_file.read_text())
    assert not [name for name in files_in(runtime.directory) if name.startswith("process.json.")]


def test_exec_with_a_command_line(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({"io.teemate.pool": "default", "io.teemate.mate": MATE})
    done = runtime("exec", "--tty=false", "--cwd=/tmp", "-e", "A=1", "c1", "ls", "--all")
    assert done.returncode == 0, done.stderr
    words = runtime.calls("exec")[0]["words"]
    assert words[words.index("c1") :] == ["c1", MATE, "--lease-fd=3", "--", "ls", "--all"]
    assert "--cwd=/tmp" in words and "--env=A=1" in words


def test_exec_of_a_process_that_is_gone_already(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({"io.teemate.mate": MATE})
    runtime.host.bind_error = errno.ESRCH
    assert runtime("exec", "--detach", "c1", "true").returncode == 0


def test_exec_into_an_unprotected_container_is_refused(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({})
    done = runtime("exec", "c1", "ls")
    assert done.returncode == 1 and "outside any enclave" in done.stderr
    assert not runtime.calls("exec")


def test_failed_exec_leaves_nothing(runtime: RuntimeUnderTest) -> None:
    runtime.write_state({"io.teemate.mate": MATE})
    runtime.fail("exec", status=9)
    process = runtime.directory / "process.json"
    process.write_text(json.dumps({"args": ["ls"]}))
    assert runtime("exec", "--process", process, "--detach", "c1").returncode == 9
    assert not [name for name in files_in(runtime.directory) if name.startswith("process.json.")]


def test_delete_releases(runtime: RuntimeUnderTest) -> None:
    assert runtime("delete", "--force", "c1").returncode == 0
    assert runtime.calls("delete")[0]["words"][-3:] == ["delete", "--force", "c1"]
    assert runtime.host.released == ["ns1/c1"]


def test_delete_and_kill_do_not_need_the_daemon(runtime: RuntimeUnderTest) -> None:
    runtime.host.close()
    assert runtime("kill", "--all", "c1", "9").returncode == 0
    assert runtime("delete", "c1").returncode == 0
    assert runtime.last_error() is None and '"warning"' in runtime.log.read_text()


@pytest.mark.parametrize("command", ["start", "state", "ps", "pause", "resume", "update", "events", "list", "spec"])
def test_the_rest_is_the_delegates(runtime: RuntimeUnderTest, command: str) -> None:
    runtime.write_state({})
    assert runtime(command, "--anything", "c1").returncode == 0
    assert runtime.calls(command)[0]["words"][-3:] == [command, "--anything", "c1"]


@pytest.mark.parametrize("command", ["checkpoint", "restore"])
def test_checkpoint_is_refused(runtime: RuntimeUnderTest, command: str) -> None:
    done = runtime(command, "--image-path=/x", "c1")
    assert done.returncode == 1 and "not supported" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["creat", "c1"], "did you mean create?"),
        (["create", "--bundel=x", "c1"], "did you mean bundle?"),
        (["create"], "exactly one argument"),
        (["create", "../x"], "invalid container id"),
        (["create", "--preserve-fds=x", "c1"], "invalid value"),
        (["--rot=/x", "state", "c1"], "did you mean root?"),
        (["exec"], "container id is missing"),
    ],
)
def test_bad_command_lines(runtime: RuntimeUnderTest, words: list[str], told: str) -> None:
    done = runtime(*words)
    assert done.returncode == 1 and told in done.stderr


@pytest.mark.parametrize(
    ("command", "crun_says", "phrase"),
    [
        ("kill", "the container `c1` is not running", "container not running"),
        ("kill", "error opening file `/run/crun/c1/status`: No such file or directory", "does not exist"),
        ("delete", "cannot open directory `/run/crun/c1`: No such file or directory", "does not exist"),
        ("exec", "error opening file `/run/crun/c1/status`: No such file or directory", "does not exist"),
    ],
)
def test_crun_speaks_runcs_phrases(runtime: RuntimeUnderTest, command: str, crun_says: str, phrase: str) -> None:
    crun = runtime.directory / "crun"
    crun.write_text(f"#!/bin/sh\necho '{crun_says}' >&2\nexit 1\n")
    crun.chmod(0o755)
    runtime.settings["delegate"] = str(crun)
    done = runtime(command, "c1", *({"kill": ["9"], "exec": ["ls"]}.get(command, [])))
    assert done.returncode == 1 and phrase in (runtime.last_error() or "")


def test_no_delegate(runtime: RuntimeUnderTest) -> None:
    runtime.settings["delegate"] = "/nonexistent/runc"
    done = runtime("state", "c1")
    assert done.returncode == 1 and "set `delegate`" in done.stderr
