"""python -m zygote shim|runtime SOCKET: answer for that front of front/, on that socket, until standard input ends.

One process for each, because a fork costs in proportion to what the process holds: the shim's imports would treble the
time of every call of the runtime.
"""

import sys
from pathlib import Path

from zygote.protocol import PROGRAMS
from zygote.resident import Answer, serve


def _answer(program: str) -> Answer:
    if program == "shim":
        from zygote.rehearsal import rehearse
        from zygote.shim_call import answer

        rehearse()
    else:
        from zygote.runtime_call import answer
    return answer


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PROGRAMS:
        sys.exit("usage: python -m zygote shim|runtime SOCKET")
    serve(Path(sys.argv[2]), program=PROGRAMS[sys.argv[1]], answer=_answer(sys.argv[1]))
