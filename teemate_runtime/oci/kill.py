"""kill: the delegate's, in runc's words."""

from __future__ import annotations

from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import replace_by
from teemate_runtime.oci.phrases import relay


def main(context: Context) -> int:
    words = ["kill", *context.words]
    if not context.delegate_is_crun:
        replace_by(context, words)
    relay(context, words)
    return 0
