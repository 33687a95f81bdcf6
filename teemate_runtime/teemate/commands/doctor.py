"""teemate doctor"""

from __future__ import annotations

import sys

import click

from teemate_runtime.teemate.checks.finding import Finding, Level
from teemate_runtime.teemate.checks.processor import CONFIDENTIALITY
from teemate_runtime.teemate.output import Column, Record, output_option, show
from teemate_runtime.teemate.session import Session

_COLUMNS = (
    Column(title="", field="level"),
    Column(title="SUBJECT", field="subject"),
    Column(title="FOUND", field="fact", wide=True),
    Column(title="CURE", field="cure", wide=True),
)


@click.command()
@output_option
@click.pass_obj
def command(session: Session, form: str) -> None:
    """Say what this host has and lacks, and how to cure it. Exit status 1 if something needed is lacking.

    \b
    Examples:
      teemate doctor
      teemate doctor -o json | jq '.[] | select(.level == "lack")'
    """
    findings = _examine(session)
    show([finding.record() for finding in findings], _COLUMNS, form=form, style=_style)
    if any(finding.level is Level.LACK for finding in findings):
        sys.exit(1)


def _style(finding: Record) -> str:
    if finding["subject"] == CONFIDENTIALITY:
        return "bold red"
    return {Level.LACK: "red", Level.NOTE: "yellow", Level.OK: ""}[finding["level"]]


def _examine(session: Session) -> list[Finding]:
    from teemate_runtime.teemate.checks import daemon, kernel, processor, software

    return [*processor.run(), *kernel.run(), *software.run(), *daemon.run(session)]
