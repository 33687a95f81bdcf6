"""python -m zygote shim|runtime SOCKET: answer for that front of front/, on that socket, until standard input ends.

One process for each, because a fork costs in proportion to what the process holds: the shim's imports would treble the
time of every call of the runtime.
"""

import sys
from pathlib import Path

from zygote.program import Program
from zygote.protocol import PROGRAMS
from zygote.resident import serve


def _program(name: str) -> Program:
    if name == "shim":
        from zygote import rehearsal
        from zygote.shim_call import ShimCall

        rehearsal.rehearse()
        shim = ShimCall()
        return Program(PROGRAMS[name], shim.answer, shim.get_ready, shim.on_taken, shim.prepare, is_reusable=False)
    from zygote.runtime_call import RuntimeCall

    call = RuntimeCall()
    return Program(PROGRAMS[name], call.answer, call.get_ready, call.on_taken, call.prepare, is_reusable=True)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PROGRAMS:
        sys.exit("usage: python -m zygote shim|runtime SOCKET")
    serve(Path(sys.argv[2]), _program(sys.argv[1]))
