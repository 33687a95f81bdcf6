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


@dataclass(frozen=True)
class _Prepared:
    blueprint: Blueprint
    mrenclave: str
    signed: bytes


class EnclaveBuilder:
    """Safe to use from several threads."""

    def __init__(self, *, image: EnclaveImage, key: RSAPrivateKey, provider: Provider) -> None:
        self.provider = provider
        self.mrsigner = sigstruct.mrsigner(key.public_key()).hex()
        self._image = image
        self._key = key
        self._prepared: dict[EnclaveLayout, _Prepared] = {}
        self._lock = threading.Lock()

    def known_mrenclave(self, plan: EnclaveLayout) -> str:
        """As hexadecimal digits; empty until prepare() is done."""
        prepared = self._prepared.get(plan)
        return "" if prepared is None else prepared.mrenclave

    def prepare(self, plan: EnclaveLayout) -> _Prepared:
        """Draw and sign: the vendor's part, done once, so that no enclave's start pays for it."""
        with self._lock:
            prepared = self._prepared.get(plan)
            if prepared is None:
                blueprint = draw_blueprint(self._image, plan)
                mrenclave = measure(blueprint)
                today = datetime.datetime.now(datetime.UTC).date()
                signed = sigstruct.sign(mrenclave, self._key, date=today)
                prepared = _Prepared(blueprint=blueprint, mrenclave=mrenclave.hex(), signed=signed)
                self._prepared[plan] = prepared
            return prepared

    def build(self, plan: EnclaveLayout) -> BuiltEnclave:
        """ECREATE, EADD and EEXTEND of every page, EINIT."""
        prepared = self.prepare(plan)
        blueprint = prepared.blueprint
        start = time.monotonic()
        construction = self.provider.create(blueprint, compartments=plan.compartments)
        try:
            for pages in blueprint.ranges:
                construction.add(pages)
            built, identity = construction.initialize(prepared.signed)
        except BaseException:
            construction.abandon()
            raise
        return BuiltEnclave(
            pages=built,
            identity=identity,
            enclave_size=blueprint.enclave_size,
            build_seconds=time.monotonic() - start,
        )
