"""Builds enclaves: draws the blueprint once for each layout, signs it, and has the provider do the work."""

import datetime
import threading
import time
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from enclave_host import sigstruct
from enclave_host.blueprint import Blueprint, EnclaveLayout, draw_blueprint
from enclave_host.image import EnclaveImage
from enclave_host.measure import measure
from enclave_host.providers.base import Provider, ProviderEnclave
from enclave_host.sigstruct import Identity


@dataclass(frozen=True)
class BuiltEnclave:
    """An enclave as the builder hands it over."""

    pages: ProviderEnclave
    identity: Identity
    enclave_size: int
    build_seconds: float


class EnclaveBuilder:
    """Safe to use from several threads."""

    def __init__(self, *, image: EnclaveImage, key: RSAPrivateKey, provider: Provider) -> None:
        self.provider = provider
        self._image = image
        self._key = key
        self._prepared: dict[EnclaveLayout, tuple[Blueprint, bytes]] = {}
        self._lock = threading.Lock()

    def prepare(self, plan: EnclaveLayout) -> tuple[Blueprint, bytes]:
        """The blueprint and its SIGSTRUCT. The vendor's part, done once: no enclave's start waits for it twice."""
        with self._lock:
            if plan not in self._prepared:
                blueprint = draw_blueprint(self._image, plan)
                today = datetime.datetime.now(datetime.UTC).date()
                self._prepared[plan] = blueprint, sigstruct.sign(measure(blueprint), self._key, date=today)
            return self._prepared[plan]

    def build(self, plan: EnclaveLayout) -> BuiltEnclave:
        """ECREATE, EADD and EEXTEND of every page, EINIT."""
        blueprint, signed = self.prepare(plan)
        start = time.monotonic()
        construction = self.provider.create(blueprint, compartments=plan.compartments)
        try:
            for pages in blueprint.ranges:
                construction.add(pages)
            built, identity = construction.initialize(signed)
        except BaseException:
            construction.abandon()
            raise
        return BuiltEnclave(
            pages=built,
            identity=identity,
            enclave_size=blueprint.enclave_size,
            build_seconds=time.monotonic() - start,
        )
