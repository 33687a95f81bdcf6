"""ttrpc: containerd's small RPC protocol over a stream socket, unary calls only.

The wire format is containerd/ttrpc's PROTOCOL.md; the messages are in protos/containerd/ttrpc.proto.
"""
