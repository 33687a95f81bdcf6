"""kill under crun, whose words the runc shim does not know: it matches runc's to tell "gone" from "failed"."""

from __future__ import annotations

import sys

from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import output, replace_by
from teemate_runtime.oci.failure import Failure

# What crun says -> what runc says and callers match.
_PHRASES = (("is not running", "container not running"), ("No such file", "container does not exist"))


def main(context: Context) -> int:
    words = ["kill", *context.words]
    if not context.delegate_is_crun:
        replace_by(context, words)
    status, text, complaint = output(context, words)
    sys.stdout.write(text.decode(errors="replace"))
    if status:
        told = complaint.decode(errors="replace").strip()
        for crun_says, runc_says in _PHRASES:
            if crun_says in told:
                raise Failure(runc_says, cause=told, status=status)
        raise Failure(told or f"kill failed with status {status}", status=status)
    return 0
