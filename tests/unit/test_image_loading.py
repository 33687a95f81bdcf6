"""Enclave images that cannot be used are refused with a reason."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from enclave_host.image import ImageError, load_image
from enclave_host.sgx import Secinfo
from tests.unit.fake_host import ENCLU_SITE, write_image


def test_segments_sites_and_entry(tmp_path: Path) -> None:
    image = load_image(write_image(tmp_path / "image"))
    assert [(s.offset, len(s.content), s.permissions) for s in image.segments] == [
        (0, 4096, Secinfo.REG | Secinfo.R | Secinfo.X),
        (4096, 4096, Secinfo.REG | Secinfo.R),
    ]
    assert (image.entry, image.enclu_sites, image.size) == (0, (16,), 8192)


def corrupt(content: bytes, offset: int, value: bytes) -> bytes:
    return content[:offset] + value + content[offset + len(value) :]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda c: b"", "not readable", id="empty"),
        pytest.param(lambda c: b"#!/bin/sh\n", "not readable", id="script"),
        pytest.param(lambda c: c[:100], "not readable", id="cut"),
        pytest.param(lambda c: corrupt(c, 18, b"\x03\0"), "not a static x86-64", id="machine"),
        pytest.param(lambda c: corrupt(c, 16, b"\x03\0"), "not a static x86-64", id="shared object"),
        pytest.param(lambda c: corrupt(c, 64 + 16, b"\0\0\0\0\0\x60\0\0"), "image region", id="address"),
        pytest.param(lambda c: corrupt(c, 4096 + 16, b"\x90" * 5), "no ENCLU", id="site without ENCLU"),
        pytest.param(lambda c: corrupt(c, 64 + 40, b"\0\0\0\0\xff"), "image region", id="huge"),
        pytest.param(lambda c: corrupt(c, 64 + 40, b"\0\x20"), "share the page", id="overlap"),
        pytest.param(lambda c: corrupt(c, 60, b"\0\0"), "enclu_sites", id="no sections"),
    ],
)
def test_unsuitable_file_is_refused(tmp_path: Path, change, text: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "image"
    path.write_bytes(change(write_image(path).read_bytes()))
    with pytest.raises(ImageError, match=text) as refused:
        load_image(path)
    assert str(path) in str(refused.value)


def test_writable_segment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="writable"):
        load_image(write_image(tmp_path / "image", writable=True))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="make build"):
        load_image(tmp_path / "none")


def test_mutated_images_never_end_in_another_exception(tmp_path: Path) -> None:
    """The file is the operator's, but a half-written one must not end in a traceback."""
    path = tmp_path / "image"
    good = write_image(path, text=b"\x90" * 16 + ENCLU_SITE).read_bytes()
    dice = random.Random(1)
    for _ in range(2000):
        content = bytearray(good)
        for _ in range(dice.randint(1, 3)):
            at = dice.choice([dice.randrange(64), dice.randrange(64, 176), dice.randrange(12288, len(good))])
            content[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
        path.write_bytes(content[: dice.choice([len(content), dice.randrange(len(content))])])
        try:
            load_image(path)
        except ImageError:
            continue
