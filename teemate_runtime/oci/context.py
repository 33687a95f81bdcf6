"""One call of the runtime: its global options, its settings, its delegate."""

from __future__ import annotations

import os

from teemate_runtime.oci import settings
from teemate_runtime.oci.executor import Executor, Local
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.options import Options, Table, parse

# Names of runc and crun, passed on; then our own two, which serve where annotations cannot be given (docker 20.10:
# runtimeArgs in daemon.json).
_OWN = ("pool", "host")
GLOBAL_OPTIONS: Table = {
    "root": True,
    "debug": False,
    "log": True,
    "log-format": True,
    "systemd-cgroup": False,
    "rootless": True,
    "criu": True,
    "cgroup-manager": True,
    "pool": True,
    "host": True,
    "version": False,
    "v": "version",
    "help": False,
    "h": "help",
}
DELEGATES = ("runc", "crun")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Context:
    __slots__ = ("_delegate", "_settings", "candidates", "command", "executor", "library", "options", "words")

    def __init__(self, options: Options, *, library: str, executor: Executor) -> None:
        self.options = options
        self.executor = executor
        self.library = library
        self.candidates = DELEGATES
        self.command = options.arguments[0] if options.arguments else ""
        self.words = options.arguments[1:]
        self._settings: settings.Settings | None = None
        self._delegate = ""

    @property
    def settings(self) -> settings.Settings:
        if self._settings is None:
            self._settings = settings.load(library=self.library)
            self._settings.host = self.options.value("host") or self._settings.host
        return self._settings

    @property
    def root(self) -> str | None:
        return self.options.value("root")

    @property
    def delegate(self) -> str:
        if not self._delegate:
            self._delegate = _find(self.settings.delegate, self.candidates, self.settings.path)
        return self._delegate

    @property
    def delegate_is_crun(self) -> bool:
        return os.path.basename(self.delegate) == "crun"

    def global_words(self, *, quiet: bool = False) -> list[str]:
        """The global options for the delegate; quiet: without the log, whose last error must stay the last."""
        return self.options.command_line(without=(*_OWN, "log", "log-format") if quiet else _OWN)


def parse_context(words: list[str], *, library: str, executor: Executor | None = None) -> Context:
    options = parse(words, GLOBAL_OPTIONS, command="teemate-runtime")
    return Context(options, library=library, executor=executor or Local())


def _find(wanted: str, candidates: tuple[str, ...], settings_path: str) -> str:
    names = (wanted,) if wanted else candidates
    for name in names:
        if "/" in name:
            paths = [name]
        else:
            path = os.environ.get("PATH") or _SYSTEM_PATH
            paths = [f"{directory}/{name}" for directory in path.split(":") if directory]
        for candidate in paths:
            if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
                return candidate
    raise Failure(
        f"no OCI runtime to delegate to: {' or '.join(names)} not found",
        remedy=f"install runc or crun, or set `delegate` in {settings_path}",
    )
