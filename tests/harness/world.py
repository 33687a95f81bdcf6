"""Where a stack's daemons live: on this machine as it is, or where they see other control groups than it has.

crun refuses a host whose controllers are divided between cgroup v1 and v2. In a mount namespace in which the v2
hierarchy seems to have none it works, since all that it needs is in v1; the machine's own mounts stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.process import Daemon

V2_CONTROLLERS = Path("/sys/fs/cgroup/unified/cgroup.controllers")
# The shell is replaced by what keeps the namespace, so that its name tells when all is ready.
_HIDE = f"if [ -e {V2_CONTROLLERS} ]; then mount --bind /dev/null {V2_CONTROLLERS} || exit 1; fi; exec sleep infinity"


class World:
    """The machine itself."""

    pid: int | str = "self"
    """A process that lives there."""

    def start(self, *, directory: Path, environment: Mapping[str, str]) -> None:
        """Set it up, in a process with that environment."""

    def argv(self, words: Sequence[str | Path]) -> list[str]:
        """The command line which executes another one there."""
        return [str(word) for word in words]

    def stop(self) -> None:
        """Take it away. What it has mounted goes with the last process that lives there."""


class UndividedControllers(World):
    """A mount namespace in which a v2 hierarchy beside v1 has no controllers, as systemd sets up such hosts.

    Mounts made outside are seen in it, not the other way round. On a host with one version only it is as outside.
    """

    def __init__(self) -> None:
        self._keeper: Daemon | None = None

    def start(self, *, directory: Path, environment: Mapping[str, str]) -> None:
        self._keeper = Daemon(
            name="world",
            argv=["unshare", "--mount", "--propagation=slave", "sh", "-c", _HIDE],
            log=directory / "world.log",
            environment=environment,
        )
        name = Path(f"/proc/{self._keeper.pid}/comm")
        self._keeper.wait_ready(lambda: name.read_text() == "sleep\n")
        self.pid = self._keeper.pid

    def argv(self, words: Sequence[str | Path]) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *super().argv(words)]

    def stop(self) -> None:
        if self._keeper:
            self._keeper.stop()
