"""The resident zygote: an interpreter with everything imported, which forks a shim for each `start`.

    python -m shim.zygote SOCKET

The launcher (launcher/main.c) connects, sends one packet (its working directory, environment and arguments, each
NUL-terminated, after two counts) and gets one packet back: an exit status and what to print. The process that
answers is already the shim. The zygote itself keeps nothing: when it is killed, running shims are untouched and the
launcher starts an interpreter of its own.
"""

import gc
import os
import signal
import socket
import struct
import sys
from pathlib import Path

from shim import remove, serve  # imported here so that every forked shim shares their pages
from shim.invocation import Invocation, UsageError
from shim.ttrpc.server import peer_is_same_user

PACKET_MAX = 128 << 10
_COUNTS = struct.Struct("<II")
_STATUS = struct.Struct("<I")
# Of the launcher's environment only this is the shim's business; the rest would keep the daemon's from reaching it.
_KEPT = ("PATH", "TEEMATE_HOST", "TEEMATE_RUNTIME_CONFIG", "TTRPC_ADDRESS", "GRPC_ADDRESS")


def main(path: Path) -> None:
    """Listen and fork, for ever."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the shims
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    previous = os.umask(0o177)
    listener.bind(str(path))
    os.umask(previous)
    listener.listen(128)
    gc.collect()
    gc.freeze()  # the collector must not write to pages that the shims share
    while True:
        connection, _ = listener.accept()
        if peer_is_same_user(connection) and os.fork() == 0:
            listener.close()
            _be_a_shim(connection)
        connection.close()


def _be_a_shim(connection: socket.socket) -> None:
    status = 1
    try:
        _answer(connection)
        status = 0
    except Exception as error:  # containerd shows the text to the user
        _reply(connection, 1, f"containerd-shim-teemate-v2: {error}\n".encode())
    finally:
        os._exit(status)


def _answer(connection: socket.socket) -> None:
    connection.settimeout(10)
    directory, environment, words = _parse(connection.recv(PACKET_MAX))
    os.environ.clear()
    os.environ.update({key: environment[key] for key in _KEPT if key in environment})
    try:
        invocation = Invocation.parse(words, environment=environment, working_directory=directory)
    except UsageError as error:
        _reply(connection, 2, f"containerd-shim-teemate-v2: {error}\n".encode())
        return
    if invocation.action == "delete":
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _reply(connection, 0, remove.remove(invocation))
        return
    address, listener = serve.prepare(invocation)
    if listener is not None:
        serve.detach(invocation)
    _reply(connection, 0, address.uri.encode())
    connection.close()
    if listener is not None:
        serve.serve(invocation, address, listener)


def _parse(packet: bytes) -> tuple[Path, dict[str, str], list[str]]:
    if len(packet) < _COUNTS.size:
        raise UsageError("the launcher sent a packet that is too short")
    variables, arguments = _COUNTS.unpack_from(packet)
    strings = [os.fsdecode(part) for part in packet[_COUNTS.size :].split(b"\0")]
    if len(strings) != 1 + variables + arguments + 1 or strings[-1]:
        raise UsageError("the launcher sent a malformed packet")
    environment = dict(pair.split("=", 1) for pair in strings[1 : 1 + variables] if "=" in pair)
    return Path(strings[0]), environment, strings[1 + variables : -1]


def _reply(connection: socket.socket, status: int, output: bytes) -> None:
    connection.send(_STATUS.pack(status) + output, socket.MSG_NOSIGNAL)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m shim.zygote SOCKET")
    main(Path(sys.argv[1]))
