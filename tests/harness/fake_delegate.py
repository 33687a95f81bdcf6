"""A stand-in for runc: records how it was called, what it read and which descriptors it inherited.

Executed as a script of its own, so it imports nothing of the tree. FAKE_DELEGATE names the directory of the record and
of the files that steer it: `fail-COMMAND` holds the status with which that command fails, `hold-COMMAND` keeps it from
ending.
"""

import json
import os
import sys
import time
from pathlib import Path

DIRECTORY = Path(os.environ["FAKE_DELEGATE"])
PHRASE = "the fake delegate fails as told"


def option(words: list[str], name: str) -> str | None:
    for word in words:
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def inherited(count: int) -> list[str]:
    return [str(Path(f"/proc/self/fd/{number}").readlink()) for number in range(3, 3 + count)]


def read_json(path: str | None) -> object:
    return json.loads(Path(path).read_text()) if path else None


def main() -> None:
    words = sys.argv[1:]
    command = next(word for word in words if not word.startswith("-"))
    own = words[words.index(command) + 1 :]
    bundle = option(own, "bundle")
    call = {
        "command": command,
        "words": words,
        "config": read_json(bundle and f"{bundle}/config.json"),
        "process": read_json(option(own, "process")),
        "descriptors": inherited(int(option(own, "preserve-fds") or 0)),
        "environment": dict(os.environ),
    }
    with (DIRECTORY / "calls").open("a") as record:
        record.write(json.dumps(call) + "\n")
    while (DIRECTORY / f"hold-{command}").exists():
        time.sleep(0.01)
    fail = DIRECTORY / f"fail-{command}"
    if fail.exists():
        sys.stderr.write(PHRASE + "\n")
        raise SystemExit(int(fail.read_text()))
    if command == "state":
        sys.stdout.write((DIRECTORY / "state").read_text())
    pid_file = option(own, "pid-file")
    if pid_file:
        # its own process is as good as a container's: it lives long enough to be bound to
        pid = int((DIRECTORY / "pid").read_text()) if (DIRECTORY / "pid").exists() else os.getpid()
        with Path(pid_file).open("w") as written:  # as crun does it: first the file, then what is in it
            time.sleep(0.05)
            written.write(str(pid))
    if command == "run":
        time.sleep(0.3)
        raise SystemExit(7)


main()
