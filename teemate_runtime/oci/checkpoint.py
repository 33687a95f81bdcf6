"""checkpoint and restore: refused."""

from __future__ import annotations

from teemate_runtime.oci.context import Context
from teemate_runtime.oci.failure import Failure


def main(context: Context) -> int:
    raise Failure(
        f"{context.command} is not supported by teemate-runtime",
        cause="the memory of an enclave cannot be dumped to disk or loaded from it",
        remedy="stop the container and start a new one",
    )
