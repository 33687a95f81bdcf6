"""options.pb in the bundle: the runtime options of Create, for the `delete` action of a later process."""

from pathlib import Path

from google.protobuf.message import DecodeError

from protos.containerd import runc_options_pb2

NAME = "options.pb"


def write_options(bundle: Path, options: runc_options_pb2.Options) -> None:
    (bundle / NAME).write_bytes(options.SerializeToString())


def read_options(bundle: Path) -> runc_options_pb2.Options:
    """The options that Create left, or the defaults when it did not get that far."""
    options = runc_options_pb2.Options()
    try:
        options.ParseFromString((bundle / NAME).read_bytes())
    except (OSError, DecodeError):
        options.Clear()
    return options
