"""A process in an enclave as a record and as a row: for `ps` and `top`."""

from __future__ import annotations

from typing import Any

from teemate_runtime.teemate.output import Column, size
from teemate_runtime.teemate.records import command_of, short_container

COLUMNS = (
    Column(title="CONTAINER", field="container", form=short_container),
    Column(title="POOL", field="pool"),
    Column(title="ENCLAVE", field="enclave", right=True, spare=2),
    Column(title="COMPARTMENT", field="compartment", right=True, spare=5),
    Column(title="TCS", field="threads", right=True, spare=3),
    Column(title="TCS IN USE", field="threads_in_use", right=True, spare=1),
    Column(title="EPC", field="enclave_memory", form=size, right=True),
    Column(title="OUTSIDE", field="process_memory", form=size, right=True, spare=4),
    Column(title="PID", field="pid", form=lambda pid: str(pid) if pid else "-", right=True),
    Column(title="COMMAND", field="command", wide=True),
)


def row(lease: Any) -> dict[str, Any]:
    return {
        "container": lease.container,
        "exec": lease.process,
        "pool": lease.pool,
        "enclave": lease.enclave_id,
        "compartment": lease.compartment,
        "threads": lease.threads,
        "threads_in_use": lease.threads_in_use,
        "enclave_memory": lease.compartment_memory,
        "process_memory": lease.process_memory,
        "lease": lease.id,
        "pid": lease.process_id,
        "command": command_of(lease.process_id) if lease.process_id else "",
    }
