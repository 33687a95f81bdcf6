"""python -m zygote SOCKET: answer for the fronts in front/, on that socket, until standard input ends."""

import sys
from pathlib import Path

from zygote.resident import serve

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m zygote SOCKET")
    serve(Path(sys.argv[1]))
