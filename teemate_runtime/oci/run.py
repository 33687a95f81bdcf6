"""run: create and start in one; without --detach also wait, and end with the program's status."""

from __future__ import annotations

from teemate_runtime.oci.attached import run_attached
from teemate_runtime.oci.context import Context
from teemate_runtime.oci.create import create
from teemate_runtime.oci.delegate import replace_by
from teemate_runtime.oci.options import container_id, parse
from teemate_runtime.oci.prepare import CREATE_OPTIONS, prepare

RUN_OPTIONS = {**CREATE_OPTIONS, "keep": False, "no-subreaper": False}


def main(context: Context) -> int:
    options = parse(context.words, RUN_OPTIONS, command="run")
    container = container_id(options, command="run")
    prepared = prepare(context, options, container)
    if options.flag("detach"):
        create(context, prepared, container, options.value("pid-file"))
        replace_by(context, ["start", container])
    pid_file = options.value("pid-file")
    path = prepared.bundle.own_pid_file
    run_attached(
        context,
        ["run", *prepared.words, f"--pid-file={pid_file or path}", container],
        lease=prepared.lease,
        redirections=prepared.redirections,
        wanted_pid_file=pid_file,
        own_pid_file=path,
        clean_up=prepared.close,
    )
    return 0
