"""The host daemon and the two configuration files."""

from __future__ import annotations

import os
from pathlib import Path

from teemate_runtime.oci import settings
from teemate_runtime.oci.failure import Failure
from teemate_runtime.teemate.checks.finding import Finding, lack, note, ok
from teemate_runtime.teemate.errors import CommandError
from teemate_runtime.teemate.session import Session

_DAEMON_CONFIG = Path("/etc/teemate/hostd.yaml")


def run(session: Session) -> list[Finding]:
    directory = session.run_directory
    return [_attach(directory), _api(session), _runtime_config(directory), _daemon_config()]


def _api(session: Session) -> Finding:
    from teemate_runtime.teemate.client import HostClient

    subject = "teemate-hostd: gRPC socket"
    try:
        with HostClient(session) as client:
            host = client.host()
    except CommandError as error:
        return lack(subject, f"{error.message}: {error.cause}", cure=error.remedy)
    return ok(subject, f"version {host.version}, EPC from {host.provider}, process {host.process_id}")


def _attach(run_directory: Path) -> Finding:
    from enclave_host.attach_client import AttachClient
    from enclave_host.attach_protocol import AttachError

    subject = "teemate-hostd: attach socket"
    try:
        with AttachClient(run_directory, timeout=5) as client:
            client.ping()
    except AttachError as error:
        return lack(subject, str(error), cure="systemctl start teemate-hostd; name its run directory with --host")
    return ok(subject, f"{run_directory}/attach.sock answers")


def _runtime_config(run_directory: Path) -> Finding:
    path = os.environ.get(settings.PATH_VARIABLE, settings.PATH)
    subject = "runtime.yaml"
    try:
        loaded = settings.load(library="/")
    except Failure as failure:
        return lack(subject, str(failure), cure=f"correct {path}")
    if loaded.allow_unprotected:
        cure = "remove the key"
        return note(subject, f"{path} allows containers WITHOUT an enclave (insecure__allow_unprotected)", cure=cure)
    if Path(loaded.host) != run_directory:
        return note(
            subject, f"containers ask {loaded.host}, this command {run_directory}", cure="set `host`, or --host"
        )
    return ok(subject, path if Path(path).exists() else "absent: the defaults are in force")


def _daemon_config() -> Finding:
    from enclave_host.config import load_config
    from enclave_host.errors import HostError

    subject = "hostd.yaml"
    if not _DAEMON_CONFIG.exists():
        return note(subject, f"{_DAEMON_CONFIG} is absent", cure="copy configs/hostd.yaml there")
    try:
        load_config(_DAEMON_CONFIG)
    except (HostError, OSError) as error:
        return lack(subject, f"{_DAEMON_CONFIG}: {error}", cure="correct it")
    return ok(subject, str(_DAEMON_CONFIG))
