"""An enclave of a pool and its compartments."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

from enclave_host.blueprint import EnclaveLayout
from enclave_host.providers.base import ProviderEnclave


class CompartmentState(StrEnum):
    FREE = "free"
    LEASED = "leased"
    RECOVERING = "recovering"  # its lease has ended; not yet scrubbed
    RETIRED = "retired"  # could not be recovered: never leased again


@dataclass(eq=False)
class Compartment:
    """One private range of an enclave."""

    enclave: "Enclave"
    index: int
    state: CompartmentState = CompartmentState.FREE
    lease_id: int = 0
    served: int = 0
    prepared_memory: int = 0  # bytes that are there for its next program

    @property
    def prepared(self) -> bool:
        return self.prepared_memory > 0

    def memory(self) -> int:
        """Bytes of EPC now."""
        return self.enclave.pages.compartment_memory(self.index)


@dataclass(eq=False, kw_only=True)
class Enclave:
    """An initialised enclave. `draining`: grants nothing new and is destroyed with its last lease."""

    id: int
    pool: str
    plan: EnclaveLayout
    pages: ProviderEnclave
    mrenclave: str
    mrsigner: str
    size: int
    build_us: int
    draining: bool = False
    created: float = field(default_factory=time.time)
    compartments: list[Compartment] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.compartments:
            self.compartments = [Compartment(self, index) for index in range(self.plan.compartments)]

    def count(self, state: CompartmentState) -> int:
        return sum(compartment.state is state for compartment in self.compartments)

    def free_compartment(self) -> Compartment | None:
        """A prepared one, if there is one."""
        free = [c for c in self.compartments if c.state is CompartmentState.FREE]
        return next((c for c in free if c.prepared), free[0] if free else None)

    @property
    def is_unused(self) -> bool:
        """No lease, and none being recovered."""
        return not self.count(CompartmentState.LEASED) and not self.count(CompartmentState.RECOVERING)

    def memory(self) -> int:
        """Bytes of EPC now."""
        return self.pages.image_memory() + sum(compartment.memory() for compartment in self.compartments)
