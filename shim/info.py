"""-info: what the shim is and what its delegate can do, as containerd 2 asks before it creates a container."""

import json
import subprocess
from pathlib import Path

from google.protobuf.any_pb2 import Any

from protos.containerd import introspection_pb2, runc_options_pb2
from shim.runtime import context_of
from teemate_runtime.oci import strict_json

FEATURES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
# What containerd writes for its containers since 1.7.
NEWEST_OCI_VERSION = "1.2.0"
OPTIONS_NAME = "containerd.runc.v1.Options"


def information(given: bytes, *, name: str, version: str, directory: Path) -> bytes:
    """RuntimeInfo as bytes. `given` is an Any of the runtime options, or empty. Raises DecodeError, Failure."""
    wrapped = Any.FromString(given)
    options = runc_options_pb2.Options()
    if wrapped.type_url.rsplit("/", 1)[-1] == OPTIONS_NAME:
        options.ParseFromString(wrapped.value)
    info = introspection_pb2.RuntimeInfo(name=name)
    info.version.version = version
    if given:
        info.options.CopyFrom(wrapped)
    document: strict_json.Object = {"ociVersion": NEWEST_OCI_VERSION}
    context = context_of(
        namespace="info", bundle=directory / "of" / "no" / "bundle", options=options, document=document
    )
    info.annotations["io.teemate.delegate"] = context.delegate
    features = _features(context.delegate)
    if features:
        info.features.type_url = FEATURES_TYPE
        info.features.value = features
    return bytes(info.SerializeToString())


def _features(delegate: str) -> bytes:
    """The delegate's own, or nothing from one that is too old to say."""
    done = subprocess.run([delegate, "features"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        json.loads(done.stdout)
    except ValueError:
        return b""
    return done.stdout if done.returncode == 0 else b""
