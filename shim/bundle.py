"""What the shim reads from a bundle's config.json."""

from pathlib import Path

from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure


def config(bundle: Path) -> strict_json.Object:
    """config.json. Raises Failure when it is missing or not JSON."""
    return strict_json.parse(strict_json.read(f"{bundle}/config.json", what="config.json"), what="config.json")


def annotations_in(document: strict_json.Object) -> dict[str, str]:
    """All of them, among them those that containerd's plug-ins have put there. Raises Failure."""
    given = document.get("annotations")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Failure("annotations in config.json is not an object of strings")
    return {key: str(value) for key, value in given.items()}


def oci_version_in(document: strict_json.Object) -> str:
    """The version of the OCI specification that config.json is written for; empty if it does not say."""
    version = document.get("ociVersion")
    return version if isinstance(version, str) else ""


def uses_systemd_cgroup(document: strict_json.Object) -> bool:
    """Is cgroupsPath in systemd's form, SLICE:PREFIX:NAME? All that the CRI plug-in tells a foreign shim."""
    linux = document.get("linux")
    path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
    parts = path.split(":") if isinstance(path, str) else []
    return len(parts) == 3 and parts[0].endswith(".slice") and "/" not in parts[0]


def shares_processes(document: strict_json.Object) -> bool:
    """Is the container in a pid namespace of others (the pod's, the host's), so that init's end does not end all?"""
    linux = document.get("linux")
    namespaces = linux.get("namespaces") if isinstance(linux, dict) else None
    if not isinstance(namespaces, list):
        return True
    own = (each for each in namespaces if isinstance(each, dict) and each.get("type") == "pid")
    return not any(not each.get("path") for each in own)
