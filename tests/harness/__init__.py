"""What the integration tests, the demo and the benchmarks stand on.

A `Stack` is a private host daemon, containerd and dockerd in one temporary directory; `images` makes
container images out of the packages of this machine, without a registry; `leaks` compares what a stack
holds before and after.
"""
