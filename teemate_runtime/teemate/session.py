"""What every subcommand is given: where the daemon is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOST_VARIABLE = "TEEMATE_HOST"
DEFAULT_RUN_DIRECTORY = Path("/run/teemate")


@dataclass(frozen=True, kw_only=True)
class Session:
    run_directory: Path

    @property
    def api_socket(self) -> Path:
        return self.run_directory / "host.sock"
