"""What a guest needs to run the mate of SGX hardware over emulated ENCLU."""

from __future__ import annotations

from enclave_host.blueprint import EnclaveLayout
from enclave_host.config import PoolConfig

POOL = PoolConfig(name="default", trust_domain="default", compartments=1, threads=4, memory=256 << 20)
PLAN = EnclaveLayout.of_pool(POOL)
GREETING = b"hello, world\n"
