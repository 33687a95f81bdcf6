"""The `delete` action: clean up after a shim that is gone. Needs no server and may run twice."""

import contextlib
import subprocess
import time
from pathlib import Path

from protos.containerd import task_v2_pb2
from shim.address import Address, group_of
from shim.bundle import annotations_in, config
from shim.invocation import Invocation
from shim.options_file import read_options
from shim.rootfs import unmount_rootfs
from shim.runtime import context_of
from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure

KILLED = 137
_ANSWER = "deleted.pb"


def leave_answer(bundle: Path, response: task_v2_pb2.DeleteResponse) -> None:
    """Note that an orderly Delete has left nothing to remove.

    containerd executes the `delete` action all the same, and its front then needs nobody (zygote/front/deleted.c).
    """
    with contextlib.suppress(OSError):  # then the action looks for itself
        (bundle / _ANSWER).write_bytes(response.SerializeToString())


def remove(invocation: Invocation) -> bytes:
    """Kill and remove the container; containerd's DeleteResponse as bytes."""
    bundle = invocation.bundle
    context = context_of(
        namespace=invocation.namespace,
        bundle=bundle,
        options=read_options(bundle),
        document=_document(bundle),
    )
    # After an orderly Delete, the rule, the delegate knows nothing of it any more. runc and crun keep what they know in
    # a directory named after the container.
    if (Path(context.root or "/") / invocation.id).exists():
        subprocess.run(
            [context.delegate, *context.global_words(quiet=True), "delete", "--force", invocation.id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,  # a container that never came to be is no error: what counts is that none is left
        )
    unmount_rootfs(bundle / "rootfs")
    _remove_dead_socket(invocation)
    response = task_v2_pb2.DeleteResponse(pid=_init_pid(bundle), exit_status=KILLED)
    response.exited_at.FromNanoseconds(time.time_ns())
    return bytes(response.SerializeToString())


def _document(bundle: Path) -> strict_json.Object:
    try:
        return config(bundle)
    except Failure:
        return {}  # nothing was created from such a bundle


def _init_pid(bundle: Path) -> int:
    try:
        return int((bundle / "init.pid").read_text())
    except (OSError, ValueError):
        return 0


def _remove_dead_socket(invocation: Invocation) -> None:
    """A killed shim leaves its socket behind; one that serves other containers of a pod keeps it."""
    try:
        names = annotations_in(config(invocation.bundle))
    except Failure:
        return
    address = Address.of(
        grpc_address=invocation.grpc_address,
        namespace=invocation.namespace,
        group=group_of(names, invocation.id),
    )
    if address.path.exists() and not address.answers():
        address.path.unlink(missing_ok=True)
