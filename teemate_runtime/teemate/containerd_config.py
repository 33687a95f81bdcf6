"""config.toml with and without TeeMate's runtime. Pure: text in, text out.

The file is edited as text, so that its comments stay: our part is one block between two marks, at the end. What the
text means before and after is asked of a TOML parser.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any

from teemate_runtime.teemate.errors import CommandError

NAME = "teemate"
SHIM_TYPE = "io.containerd.teemate.v2"
BEGIN = "# BEGIN teemate: written by `teemate configure containerd`\n"
END = "# END teemate\n"
_BLOCK = re.compile(r"\n?" + re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
# Version of the file -> the plug-in that holds the runtimes of Kubernetes' containers.
_PLUGIN = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}


class Through(StrEnum):
    """What containerd calls: our own shim, or its own shim, which calls teemate-runtime."""

    SHIM = "shim"
    RUNTIME = "runtime"


def with_runtime(text: str, *, file: Path, through: Through, program: Path, new_version: int) -> str:
    """`program` is the shim or the runtime, as `through` says; `new_version`: of the file, if there is none yet."""
    base = without_runtime(text, file=file) or f"version = {new_version}\n"
    config = _parse(base, file)
    version = config.get("version", 1)
    plugin = _PLUGIN.get(version)
    if plugin is None:
        raise CommandError(
            f"{file} has version {version}",
            cause="only versions 2 (containerd 1.x) and 3 (containerd 2.x) are known here",
            remedy="convert it: `containerd config migrate`",
        )
    runtimes = _runtimes(config, plugin)
    if NAME in runtimes:
        raise CommandError(
            f"{file} has a runtime {NAME} that this command did not write", remedy="remove it, or edit it by hand"
        )
    systemd = runtimes.get("runc", {}).get("options", {}).get("SystemdCgroup", False)
    block = _handler(plugin, through=through, program=program, systemd=systemd is True)
    if "runc" not in runtimes:
        # The first handler in the file replaces containerd's built-in one, without which the CRI plug-in does not load.
        block = f'[{_table(plugin, "runc")}]\n  runtime_type = "io.containerd.runc.v2"\n{block}'
    result = base.rstrip("\n") + f"\n\n{BEGIN}{block}{END}"
    try:
        extended = tomllib.loads(result)
    except tomllib.TOMLDecodeError as error:
        remedy = f'write its plug-ins as tables, [plugins."{plugin}"], or edit it by hand'
        raise CommandError(f"{file} cannot be extended", cause=str(error), remedy=remedy) from None
    assert NAME in _runtimes(extended, plugin)
    return result


def without_runtime(text: str, *, file: Path) -> str:
    _parse(text, file)
    return _BLOCK.sub("", text)


def _table(plugin: str, handler: str) -> str:
    return f'plugins."{plugin}".containerd.runtimes.{handler}'


def _handler(plugin: str, *, through: Through, program: Path, systemd: bool) -> str:
    table = _table(plugin, NAME)
    annotations = '  pod_annotations = ["io.teemate.*"]\n  container_annotations = ["io.teemate.*"]\n'
    if through is Through.SHIM:
        # The shim tells systemd's cgroups by the form of their path: there is no SystemdCgroup to set.
        runtime = f'  runtime_type = "{SHIM_TYPE}"\n  runtime_path = {_quoted(str(program))}\n{annotations}'
    else:
        runtime = (
            f'  runtime_type = "io.containerd.runc.v2"\n{annotations}'
            f"  [{table}.options]\n"
            f"    BinaryName = {_quoted(str(program))}\n"
            f"    SystemdCgroup = {'true' if systemd else 'false'}\n"
        )
    return f"[{table}]\n{runtime}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _runtimes(config: dict[str, Any], plugin: str) -> dict[str, Any]:
    value: Any = config
    for key in ("plugins", plugin, "containerd", "runtimes"):
        value = value.get(key, {}) if isinstance(value, dict) else {}
    return value if isinstance(value, dict) else {}


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{file} is not valid TOML", cause=str(error), remedy="correct it first") from None


def cri_is_disabled(text: str, *, file: Path) -> bool:
    """Debian's docker packages and docker's own disable it: then only ctr and dockerd can use containerd."""
    disabled = _parse(text, file).get("disabled_plugins", [])
    return isinstance(disabled, list) and any(str(name).endswith("cri") for name in disabled)
