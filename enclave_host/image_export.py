"""What `teemate image` needs: the measurement of an image in a layout, and its SGXS stream. No daemon involved."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from enclave_host.blueprint import Blueprint, EnclaveLayout, draw_blueprint
from enclave_host.config import Config
from enclave_host.errors import HostError, NotFoundError
from enclave_host.image import ImageError, load_image
from enclave_host.measure import sgxs_stream


@dataclass(frozen=True)
class Measurement:
    """Facts about an enclave that was not built."""

    mrenclave: str
    stream_size: int  # bytes of the SGXS stream
    enclave_size: int  # of ELRANGE
    pages: int
    measured_pages: int


def pool_layout(config: Config, pool: str) -> EnclaveLayout:
    """The layout of a configured pool. Raises NotFoundError."""
    if pool not in config.pools:
        raise NotFoundError(f"no pool `{pool}` in the configuration (there are: {', '.join(config.pools) or 'none'})")
    return EnclaveLayout.of_pool(config.pools[pool])


def measure_image(image: Path, plan: EnclaveLayout) -> Measurement:
    """MRENCLAVE of the image in the layout. Raises HostError when the image cannot be used."""
    return _write_stream(image, plan, None)


def export_sgxs(image: Path, plan: EnclaveLayout, target: BinaryIO) -> Measurement:
    """Write the SGXS stream, whose SHA-256 is MRENCLAVE. Raises HostError or OSError."""
    return _write_stream(image, plan, target)


def _write_stream(path: Path, plan: EnclaveLayout, target: BinaryIO | None) -> Measurement:
    try:
        blueprint = draw_blueprint(load_image(path), plan)
    except ImageError as error:
        raise HostError(str(error)) from error
    digest = hashlib.sha256()
    size = 0
    for chunk in sgxs_stream(blueprint):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
    return Measurement(
        mrenclave=digest.hexdigest(),
        stream_size=size,
        enclave_size=blueprint.enclave_size,
        pages=_pages(blueprint, measured_only=False),
        measured_pages=_pages(blueprint, measured_only=True),
    )


def _pages(blueprint: Blueprint, *, measured_only: bool) -> int:
    return sum(pages.count for pages in blueprint.ranges if pages.measured or not measured_only)
