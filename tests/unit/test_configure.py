"""teemate configure: other people's files are changed as little as possible, and can be changed back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from teemate_runtime.teemate import containerd_config
from teemate_runtime.teemate.__main__ import command
from tests.harness.paths import ROOT

PROGRAM = Path("/opt/teemate/bin/teemate-runtime")
SHIM = Path("/opt/teemate/bin/containerd-shim-teemate-v2")
PROGRAMS = {"docker": PROGRAM, "containerd": SHIM}
# As Debian's containerd writes it, shortened.
TOML_2 = """\
# the machine's own remark
version = 2
disabled_plugins = []

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:3.6" # keep this
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true
"""
TOML_3 = "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n  enable_cdi = true\n"


def configure(manager: str, file: Path, *words: str) -> Result:
    arguments = ["configure", manager, "--config", str(file)]
    if "--remove" not in words and "--runtime" not in words:
        arguments += ["--shim", str(SHIM)] if manager == "containerd" else ["--runtime", str(PROGRAM)]
    return CliRunner().invoke(command, [*arguments, *words])


def backups(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{file.name}.*.bak*"))


def test_docker_gets_its_runtimes_and_keeps_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    old = '{\n  "log-driver": "journald",\n  "runtimes": {\n    "kata": {"path": "/k"}\n  }\n}\n'
    file.write_text(old)
    file.chmod(0o640)
    assert configure("docker", file, "--pool", "alone").exit_code == 0
    assert json.loads(file.read_text()) == {
        "log-driver": "journald",
        "runtimes": {
            "kata": {"path": "/k"},
            "teemate": {"path": str(PROGRAM)},
            "teemate-alone": {"path": str(PROGRAM), "runtimeArgs": ["--pool=alone"]},
        },
    }
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text().startswith('{\n  "log-driver"')
    (backup,) = backups(file)
    assert backup.read_text() == old


@pytest.mark.parametrize(("manager", "old"), [("docker", '{\n    "debug": true\n}\n'), ("containerd", TOML_2)])
def test_twice_is_once_and_remove_undoes(tmp_path: Path, manager: str, old: str) -> None:
    file = tmp_path / "config"
    file.write_text(old)
    assert configure(manager, file).exit_code == 0
    changed = file.read_text()
    assert changed != old
    again = configure(manager, file)
    assert again.exit_code == 0 and "nothing to change" in again.output
    assert file.read_text() == changed and len(backups(file)) == 1
    assert configure(manager, file, "--remove").exit_code == 0
    assert file.read_text() == old
    assert "nothing to change" in configure(manager, file, "--remove").output


@pytest.mark.parametrize("manager", ["docker", "containerd"])
def test_dry_run_shows_and_changes_nothing(tmp_path: Path, manager: str) -> None:
    file = tmp_path / "missing" / "config"
    done = configure(manager, file, "--dry-run")
    assert done.exit_code == 0 and str(PROGRAMS[manager]) in done.output and f"+++ {file} (changed)" in done.output
    assert not file.parent.exists()


@pytest.mark.parametrize("manager", ["docker", "containerd"])
def test_a_missing_file_is_made(tmp_path: Path, manager: str) -> None:
    file = tmp_path / "new" / "config"
    assert configure(manager, file).exit_code == 0
    assert str(PROGRAMS[manager]) in file.read_text() and not backups(file)


@pytest.mark.parametrize(
    ("text", "plugin", "systemd"),
    [(TOML_2, "io.containerd.grpc.v1.cri", True), (TOML_3, "io.containerd.cri.v1.runtime", False)],
)
def test_containerd_gets_its_runtime(tmp_path: Path, text: str, plugin: str, systemd: bool) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert configure("containerd", file).exit_code == 0
    annotations = {"pod_annotations": ["io.teemate.*"], "container_annotations": ["io.teemate.*"]}
    assert entered(file, text, plugin) == {
        "runtime_type": "io.containerd.teemate.v2",
        "runtime_path": str(SHIM),
        **annotations,
    }
    assert configure("containerd", file, "--through", "runtime", "--runtime", str(PROGRAM)).exit_code == 0
    assert entered(file, text, plugin) == {
        "runtime_type": "io.containerd.runc.v2",
        "options": {"BinaryName": str(PROGRAM), "SystemdCgroup": systemd},
        **annotations,
    }


@pytest.mark.parametrize("text", [TOML_2, TOML_3])
def test_the_built_in_handler_is_not_lost(tmp_path: Path, text: str) -> None:
    """containerd forgets it when the file has a handler; then its CRI plug-in does not load."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert configure("containerd", file).exit_code == 0
    assert file.read_text().count(".runtimes.runc]") == 1


def entered(file: Path, before: str, plugin: str) -> dict[str, Any]:
    """The handler in the file, of which the rest is still `before`."""
    assert file.read_text().startswith(before)
    runtime: dict[str, Any] = tomllib.loads(file.read_text())["plugins"][plugin]["containerd"]["runtimes"]["teemate"]
    return runtime


@pytest.mark.parametrize("words", [["--through", "runtime", "--shim", "/x"], ["--runtime", "/x"]])
def test_a_program_that_would_not_be_called(tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(command, ["configure", "containerd", "--config", str(tmp_path / "c"), *words])
    assert done.exit_code == 2 and "is for --through" in done.output


OWN = '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.teemate]\nruntime_type = "x"\n'
INLINE = 'version = 2\nplugins = {"io.containerd.grpc.v1.cri" = {}}\n'


@pytest.mark.parametrize(
    ("manager", "text", "told"),
    [
        ("docker", "{", "not valid JSON"),
        ("docker", "[]", "does not hold a JSON object"),
        ("docker", '{"runtimes": []}', "not an object"),
        ("containerd", "version = ", "not valid TOML"),
        ("containerd", "oom_score = 0\n", "has version 1"),
        ("containerd", "version = 4\n", "has version 4"),
        ("containerd", TOML_2 + OWN, "did not write"),
        ("containerd", INLINE, "cannot be extended"),
    ],
)
def test_what_cannot_be_changed_is_left_alone(tmp_path: Path, manager: str, text: str, told: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    done = configure(manager, file)
    assert done.exit_code == 1 and told in done.output and str(file) in done.output
    assert file.read_text() == text and not backups(file)


def test_the_default_runtime_is_not_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    config: dict[str, Any] = {"default-runtime": "teemate", "runtimes": {"teemate": {"path": "/x"}}}
    file.write_text(json.dumps(config))
    done = configure("docker", file, "--remove")
    assert done.exit_code == 1 and "default-runtime" in done.output
    assert json.loads(file.read_text()) == config


def test_disabled_cri_is_pointed_out(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('version = 2\ndisabled_plugins = ["cri"]\n')
    assert "disables the CRI plug-in" in configure("containerd", file).output


@pytest.mark.parametrize(
    ("manager", "shipped", "empty", "words"),
    [
        ("docker", "docker-daemon.json", "", ["--runtime=/opt/teemate/.venv/bin/teemate-runtime", "--pool=dedicated"]),
        (
            "containerd",
            "containerd-config-1.6.toml",
            "version = 2\n",
            ["--through=runtime", "--runtime=/opt/teemate/.venv/bin/teemate-runtime"],
        ),
        (
            "containerd",
            "containerd-config-1.6-shim.toml",
            "version = 2\n",
            [f"--shim=/opt/teemate/.venv/bin/{SHIM.name}"],
        ),
        ("containerd", "containerd-config-2.toml", "version = 3\n", [f"--shim=/opt/teemate/.venv/bin/{SHIM.name}"]),
    ],
)
def test_shipped_examples_are_what_this_command_writes(
    tmp_path: Path, manager: str, shipped: str, empty: str, words: list[str]
) -> None:
    file = tmp_path / "config"
    file.write_text(empty)
    arguments = ["configure", manager, "--config", str(file), *words]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    parse = json.loads if manager == "docker" else tomllib.loads
    assert parse(file.read_text()) == parse((ROOT / "configs" / shipped).read_text())


def test_the_runtime_class_names_the_handler() -> None:
    (document,) = yaml.safe_load_all((ROOT / "configs" / "runtimeclass.yaml").read_text())
    assert document["kind"] == "RuntimeClass" and document["handler"] == containerd_config.NAME
