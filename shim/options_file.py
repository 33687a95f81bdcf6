"""options.json in the bundle: the runtime options of Create, for the `delete` action of a later process."""

import json
from pathlib import Path

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from protos.containerd import runc_options_pb2

NAME = "options.json"


def write_options(bundle: Path, options: runc_options_pb2.Options) -> None:
    (bundle / NAME).write_text(json.dumps(MessageToDict(options, preserving_proto_field_name=True)))


def read_options(bundle: Path) -> runc_options_pb2.Options:
    """The options that Create left, or the defaults when it did not get that far."""
    options = runc_options_pb2.Options()
    try:
        ParseDict(json.loads((bundle / NAME).read_text()), options)
    except (OSError, ValueError, ParseError):
        options.Clear()
    return options
