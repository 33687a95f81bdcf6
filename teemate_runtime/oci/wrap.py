"""Put the mate in front of a process: the same edit for a container's init and for an exec."""

from __future__ import annotations

from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.strict_json import Object, refuse_look_alikes


def process_arguments(process: object) -> list[str]:
    """The program and its arguments of a `process` object, checked."""
    if not isinstance(process, dict):
        raise Failure("process property must not be empty")
    refuse_look_alikes(process, ("args", "commandline"), what="process")
    arguments = process.get("args")
    if not arguments:
        raise Failure("args must not be empty", cause="the process has no program to run")
    return checked_arguments(arguments)


def checked_arguments(arguments: object) -> list[str]:
    if not isinstance(arguments, list):
        raise Failure("args is not an array of strings")
    checked: list[str] = []
    for argument in arguments:
        if not isinstance(argument, str):
            raise Failure("args is not an array of strings", cause=f"it holds {argument!r}"[:80])
        if "\0" in argument:
            raise Failure("args holds a NUL character")
        checked.append(argument)
    return checked


def wrapped(arguments: list[str], *, mate: str, lease_descriptor: int) -> list[str]:
    return [mate, f"--lease-fd={lease_descriptor}", "--", *arguments]


def wrap_process(process: Object, *, mate: str, lease_descriptor: int) -> None:
    arguments = wrapped(process_arguments(process), mate=mate, lease_descriptor=lease_descriptor)
    process["args"] = [*arguments]
