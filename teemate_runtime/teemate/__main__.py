"""The entry of `teemate`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from teemate_runtime.teemate.lazy_group import LazyGroup
from teemate_runtime.teemate.session import DEFAULT_RUN_DIRECTORY, HOST_VARIABLE, Session

COMMANDS = {
    "pool": "pool",
    "enclave": "enclave",
    "lease": "lease",
    "ps": "ps",
    "top": "top",
    "events": "events",
    "image": "image",
    "doctor": "doctor",
    "configure": "configure",
    "completion": "completion",
}


@click.group(cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--host",
    metavar="PATH",
    envvar=HOST_VARIABLE,
    default=DEFAULT_RUN_DIRECTORY,
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Run directory of teemate-hostd.",
)
@click.version_option(package_name="teemate", prog_name="teemate")
@click.pass_context
def command(context: click.Context, host: Path) -> None:
    """Look after shared enclaves and the containers in them."""
    context.obj = Session(run_directory=host)


def main() -> None:
    try:
        command(prog_name="teemate")
    except BrokenPipeError:
        # The reader (`head`) has seen enough; let the interpreter's flush at exit go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
