"""The enclave's part of a container's metrics (protos/metrics.proto): written by the shim, read by whoever asked."""

from collections.abc import Iterable

from google.protobuf.any_pb2 import Any

from protos import metrics_pb2
from teemate_runtime.oci.attach import Usage


def enclave_metrics(usages: Iterable[Usage]) -> metrics_pb2.EnclaveMetrics:
    """The message for the leases of one container."""
    metrics = metrics_pb2.EnclaveMetrics()
    for usage in usages:
        metrics.processes.add(
            process_id=usage.process_id,
            enclave_id=usage.enclave_id,
            compartment=usage.compartment_index,
            tcs=usage.thread_count,
            tcs_in_use=usage.threads_in_use,
            epc_committed=usage.memory,
            epc_limit=usage.memory_limit,
        )
        metrics.tcs_in_use += usage.threads_in_use
        metrics.epc_committed += usage.memory
    return metrics


def append(metrics: bytes, enclave: metrics_pb2.EnclaveMetrics) -> bytes:
    """containerd's Metrics with ours in addition."""
    return metrics + bytes(metrics_pb2.ContainerMetrics(enclave=enclave).SerializeToString())


def read(stats: Any) -> metrics_pb2.EnclaveMetrics | None:
    """What containerd's metrics of a container say of its enclave; None if they say nothing. Raises DecodeError.

    `stats` is StatsResponse.stats of a shim, or Metric.data of containerd's task service.
    """
    found = metrics_pb2.ContainerMetrics.FromString(stats.value)
    return found.enclave if found.HasField("enclave") else None
