"""What changes in a container's config.json: the program's arguments, one mount, three annotations."""

from __future__ import annotations

import os

from teemate_runtime.oci import annotation
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.strict_json import Object, Value, refuse_look_alikes
from teemate_runtime.oci.wrap import process_arguments, wrap_process

# On the tmpfs that nearly every bundle mounts on /dev, so that the image's own file system is never written to.
_DIRECTORY_ON_DEV = "/dev/.teemate"
_DIRECTORY_ON_ROOT = "/.teemate"
_DEV = "/dev"


def check(config: Object) -> None:
    """Refuse a config.json that we could not edit; everything else in it is the delegate's to judge."""
    refuse_look_alikes(config, ("process", "mounts", "annotations", "root", "linux"), what="config.json")
    process_arguments(config.get("process"))
    for mount in _mounts(config):
        if not isinstance(mount, dict) or not isinstance(mount.get("destination"), str):
            raise Failure("config.json has a mount without a destination")
        refuse_look_alikes(mount, ("destination", "type"), what="a mount in config.json")
        for reserved in (_DIRECTORY_ON_DEV, _DIRECTORY_ON_ROOT):
            if (_destination(mount) + "/").startswith(reserved + "/"):
                raise Failure(
                    f"config.json mounts something on {_destination(mount)}",
                    cause=f"{reserved} is where the mate appears in the container",
                    remedy="mount it elsewhere",
                )


def edit(config: Object, *, mate: str, lease_descriptor: int, pool: str) -> None:
    """Make the mate the container's first process."""
    inside = _add_mate(config, mate)
    process = config["process"]
    assert isinstance(process, dict)
    wrap_process(process, mate=inside, lease_descriptor=lease_descriptor)
    _annotate(config, {annotation.POOL: pool, annotation.MATE: inside})


def mark_unprotected(config: Object) -> None:
    _annotate(config, {annotation.UNPROTECTED: "true"})


def _annotate(config: Object, entries: dict[str, str]) -> None:
    """Recorded in the container's state: a later exec finds the pool and the mate there."""
    given = config.setdefault("annotations", {})
    if given is None:
        given = config["annotations"] = {}
    assert isinstance(given, dict)
    given.update(entries)


def _add_mate(config: Object, mate: str) -> str:
    """Add the mount of the mate; its path in the container."""
    if not os.path.isfile(mate) or not os.access(mate, os.X_OK):
        raise Failure(f"the mate is missing: {mate}", remedy="run `make build`, or set `mate` in runtime.yaml")
    mounts = _mounts(config)
    position = len(mounts)
    directory = _DIRECTORY_ON_ROOT
    for index, mount in enumerate(mounts):
        assert isinstance(mount, dict)
        if _destination(mount) == _DEV:
            position = index + 1
            directory = _DIRECTORY_ON_DEV if mount.get("type") == "tmpfs" else _DIRECTORY_ON_ROOT
    inside = f"{directory}/mate"
    options: list[Value] = ["bind", "ro", "nosuid", "nodev"]
    mounts.insert(position, {"destination": inside, "type": "bind", "source": mate, "options": options})
    config["mounts"] = mounts
    return inside


def _mounts(config: Object) -> list[Value]:
    mounts = config.get("mounts")
    if mounts is None:
        return []
    if not isinstance(mounts, list):
        raise Failure("mounts in config.json is not an array")
    return mounts


def _destination(mount: Value) -> str:
    assert isinstance(mount, dict)
    destination = mount["destination"]
    assert isinstance(destination, str)
    return os.path.normpath("/" + destination.lstrip("/"))
