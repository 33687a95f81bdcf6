"""The daemon's log: one line an event, on stderr."""

import logging
import sys


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        # One event must stay one line, whatever a peer put into a name.
        return f"{self.formatTime(record)} {record.levelname.lower():7} {record.name.rpartition('.')[2]}: " + (
            text.replace("\n", "\n    ")
        )


def start_logging(level: str) -> None:
    """Send everything from `level` up to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
