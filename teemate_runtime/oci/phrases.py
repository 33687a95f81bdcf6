"""What the delegate says in words that callers know.

containerd's shim and dockerd match runc's phrases to tell "it is gone" from "it failed"; crun has others.
"""

from __future__ import annotations

import sys

from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import output
from teemate_runtime.oci.failure import Failure

# What crun says -> what runc says and callers match.
_PHRASES = (("is not running", "container not running"), ("No such file", "container does not exist"))


def explained(complaint: bytes, *, status: int) -> Failure:
    """The delegate's complaint as a failure of ours."""
    told = complaint.decode(errors="replace").strip()
    if told.startswith("time="):  # runc's log in its text form
        told = told.rpartition(' msg="')[2].rstrip('"')
    for crun_says, runc_says in _PHRASES:
        if crun_says in told:
            return Failure(runc_says, cause=told, status=status)
    return Failure(told or f"the delegate ended with status {status}", status=status)


def relay(context: Context, words: list[str]) -> None:
    """Run a command of crun; raises what it complains of."""
    status, text, complaint = output(context, words)
    sys.stdout.write(text.decode(errors="replace"))
    if status:
        raise explained(complaint, status=status)
