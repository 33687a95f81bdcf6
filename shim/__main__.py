"""containerd-shim-teemate-v2 without the zygote: the same actions from an interpreter started cold."""

import os
import sys
from pathlib import Path

from shim.action import perform


def main() -> int:
    outcome = perform(sys.argv[1:], environment=os.environ, directory=Path.cwd())
    if outcome.service is not None and os.fork() == 0:
        outcome.service.leave_streams()
        outcome.service.detach()
        outcome.service.serve()
        os._exit(0)
    sys.stderr.write(outcome.errors)
    sys.stdout.buffer.write(outcome.output)
    sys.stdout.buffer.flush()
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
