"""What every `create` and `run` does up to the delegate, done a few times before the first fork.

The interpreter rewrites code that it has executed some times for speed, and fills caches: here once for all children.
"""

import contextlib
import json
import os
import socket
import sys
from pathlib import Path

from teemate_runtime.oci import attach
from teemate_runtime.oci.context import parse_context
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.lease import Asked, Lease
from teemate_runtime.oci.options import parse
from teemate_runtime.oci.prepare import Opened
from teemate_runtime.oci.run import RUN_OPTIONS
from zygote import caller as callers
from zygote.protocol import EXEC, PROGRAMS, TAKEN, Call, receive_call, send_call, send_order, send_plain
from zygote.scratch import scratch_directory

# Of the size that container managers write.
_CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "args": ["/bin/true"],
        "cwd": "/",
        "env": [f"VARIABLE_{number}=value" for number in range(8)],
        "user": {"uid": 0, "gid": 0},
        "capabilities": {kind: [f"CAP_{number}" for number in range(14)] for kind in ("bounding", "effective")},
    },
    "root": {"path": "rootfs"},
    "mounts": [
        {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "nodev"]}
        for path in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/run")
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": [f"/proc/masked{number}" for number in range(12)],
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]},
    },
}
_GRANT = attach.HEAD.pack(
    attach.MAGIC, attach.VERSION, attach.REQUEST, attach.HEAD.size + attach.GRANTED.size, 0
) + attach.GRANTED.pack(1, 0)
_LEASE_DESCRIPTORS = 5  # the grant, three mappings, the lease channel


def rehearse(times: int) -> None:
    """Leaves nothing behind, and calls nobody: the daemon is a socket of our own."""
    with scratch_directory() as name, contextlib.suppress(Failure):
        directory = Path(name)
        (directory / "config.json").write_text(json.dumps(_CONFIG))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as daemon:
            daemon.bind(str(directory / "attach.sock"))
            daemon.listen()
            words = [f"--host={name}", f"--root={name}/root", "run", f"--bundle={name}", "rehearsal"]
            for _ in range(times):
                _rehearse_run(_call(words, directory), daemon)


def _call(words: list[str], directory: Path) -> Call:
    """Call ourselves; the call as it arrives."""
    front, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with front, ours:
        send_call(front, PROGRAMS["runtime"], directory=directory, environment=dict(os.environ), arguments=words)
        callers.process_of_same_user(ours)
        call = receive_call(ours)
        callers.is_in_our_world(os.getpid())
        send_plain(ours, TAKEN)
    os.environb.clear()
    os.environb.update(call.environment)
    return call


def _rehearse_run(call: Call, daemon: socket.socket) -> None:
    context = parse_context(call.arguments, library=f"{sys.prefix}/lib/teemate")
    options = parse(context.words, RUN_OPTIONS, command="run")
    opened = Opened(context, options)
    try:
        asked = Asked(context.settings.attach_socket, opened.wishes, container="rehearsal/x")
        opened.edit()
        lease = _lease(asked, daemon)
    except BaseException:
        opened.bundle.close()
        raise
    prepared = opened.finish(lease)
    try:
        words = [context.delegate, *context.global_words(), *prepared.words]
        front, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with front, ours:
            send_order(ours, EXEC, context.delegate, words, prepared.redirections)
    finally:
        prepared.close()


def _lease(asked: Asked, daemon: socket.socket) -> Lease:
    """Granted by ourselves, with as many descriptors as the daemon gives."""
    connection, _ = daemon.accept()
    with connection:
        connection.recv(attach.MESSAGE_MAX)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            socket.send_fds(connection, [_GRANT], [null] * _LEASE_DESCRIPTORS)
        finally:
            os.close(null)
        return asked.receive()
