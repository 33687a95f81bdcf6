"""--version, --help and features."""

from __future__ import annotations

import sys

from teemate_runtime.oci import strict_json
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.delegate import output
from teemate_runtime.oci.failure import Failure

VERSION = "0.1.0"
SPECIFICATION = "1.0.2"


def version(context: Context) -> int:
    """In runc's form, which dockerd reads."""
    _, text, _ = output(context, ["--version"])
    delegate = text.decode(errors="replace").partition("\n")[0]
    sys.stdout.write(
        f"teemate-runtime version {VERSION}\nspec: {SPECIFICATION}\ndelegate: {delegate} ({context.delegate})\n"
    )
    return 0


def features(context: Context) -> int:
    """The delegate's, marked as ours."""
    status, text, complaint = output(context, ["features"])
    if status:
        told = complaint.decode(errors="replace").strip().partition("\n")[0]
        raise Failure(f"{context.delegate} does not report its features", cause=told, remedy="use runc 1.1 or newer")
    answer = strict_json.parse(text, what="the delegate's features")
    given = answer.setdefault("annotations", {})
    if isinstance(given, dict):
        given["io.teemate.version"] = VERSION
        given["io.teemate.delegate"] = context.delegate
    sys.stdout.write(strict_json.serialize(answer).decode() + "\n")
    return 0
