"""The actions of the shim's binary, start and delete, for the process that containerd has executed or in its stead."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shim import info, remove, serve
from shim.address import Address
from shim.invocation import VERSION_WORDS, Invocation, UsageError
from teemate_runtime.oci import strict_json

NAME = "containerd-shim-teemate-v2"
VERSION = "0.1.0"
RUNTIME_NAME = "io.containerd.teemate.v2"
# Runtime options are a hundred bytes, and come in one piece.
INPUT_MAX = 1 << 16


@dataclass(frozen=True)
class Service:
    """A shim that is to serve from now on."""

    invocation: Invocation
    address: Address
    listener: socket.socket
    documents: dict[Path, strict_json.Object]
    """config.json of the first container's bundle, until it is created."""

    def leave_streams(self) -> None:
        serve.leave_streams(self.invocation)

    def detach(self) -> None:
        serve.detach(self.invocation)

    def serve(self, *, at_rest: Callable[[], None] = lambda: None, grounds: serve.Grounds | None = None) -> None:
        """On `grounds`, if the process has laid them already."""
        grounds = grounds or serve.Grounds()
        serve.serve(self.invocation, self.address, self.listener, self.documents, at_rest=at_rest, grounds=grounds)


@dataclass(frozen=True)
class Outcome:
    """What to print and with which status to end; and the service to become, if one is needed."""

    status: int = 0
    output: bytes = b""
    errors: str = ""
    service: Service | None = None


def perform(words: list[str], *, environment: Mapping[str, str], directory: Path) -> Outcome:
    """Do what the command line says. Never raises: containerd shows `errors` to the user."""
    if words and words[0] in VERSION_WORDS:
        return Outcome(output=f"{NAME} {VERSION}\n".encode())
    if words and words[0].lstrip("-") == "info":
        return _inform(directory)
    try:
        invocation = Invocation.parse(words, environment=environment, working_directory=directory)
    except UsageError as error:
        return Outcome(status=2, errors=f"{NAME}: {error}\n")
    try:
        if invocation.action == "delete":
            return Outcome(output=remove.remove(invocation))
        address, listener, document = serve.prepare(invocation)
    except Exception as error:
        return Outcome(status=1, errors=f"{NAME}: {invocation.action}: {error}\n")
    service = Service(invocation, address, listener, {invocation.bundle: document}) if listener is not None else None
    return Outcome(output=address.uri.encode(), service=service)


def _inform(directory: Path) -> Outcome:
    try:
        given = os.read(0, INPUT_MAX)
        told = info.information(given, name=RUNTIME_NAME, version=VERSION, directory=directory)
    except Exception as error:
        return Outcome(status=1, errors=f"{NAME}: info: {error}\n")
    return Outcome(output=told)
