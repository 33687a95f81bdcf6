"""What the shim reads from a bundle's config.json: the annotations that containerd's plug-ins have put there."""

from pathlib import Path

from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure


def annotations(bundle: Path) -> dict[str, str]:
    """All of them. Raises Failure when config.json is missing or not what it should be."""
    config = strict_json.parse(strict_json.read(f"{bundle}/config.json", what="config.json"), what="config.json")
    given = config.get("annotations")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Failure("annotations in config.json is not an object of strings")
    return {key: str(value) for key, value in given.items()}
