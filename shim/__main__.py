"""containerd-shim-teemate-v2 without the zygote: the same actions from an interpreter started cold."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shim.invocation import Invocation


def main() -> int:
    from shim.invocation import Invocation, UsageError

    words = sys.argv[1:]
    if words in (["-v"], ["-version"], ["--version"]):
        print("containerd-shim-teemate-v2 0.1.0")
        return 0
    try:
        invocation = Invocation.parse(words, environment=os.environ, working_directory=Path.cwd())
    except UsageError as error:
        print(f"containerd-shim-teemate-v2: {error}", file=sys.stderr)
        return 2
    try:
        return _start(invocation) if invocation.action == "start" else _delete(invocation)
    except Exception as error:  # whatever it is, containerd shows this line to the user
        print(f"containerd-shim-teemate-v2: {invocation.action}: {error}", file=sys.stderr)
        return 1


def _start(invocation: "Invocation") -> int:
    from shim.serve import detach, prepare, serve

    address, listener = prepare(invocation)
    if listener is not None and os.fork() == 0:
        detach(invocation)
        serve(invocation, address, listener)
        os._exit(0)
    sys.stdout.write(address.uri)
    sys.stdout.flush()
    return 0


def _delete(invocation: "Invocation") -> int:
    from shim.remove import remove

    sys.stdout.buffer.write(remove(invocation))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
