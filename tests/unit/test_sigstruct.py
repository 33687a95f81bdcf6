"""SIGSTRUCT, checked with plain integers: RSA, q1 and q2, and the offsets of the SDM."""

from __future__ import annotations

import datetime
import hashlib
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from enclave_host.errors import HostError
from enclave_host.signing_key import GENERATED_NAME, load_signing_key
from enclave_host.sigstruct import SigstructError, check, sign
from tests.unit.fake_host import shared_key

MRENCLAVE = hashlib.sha256(b"an enclave").digest()
# DER prefix of a SHA-256 DigestInfo (RFC 8017, 9.2)
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


@pytest.fixture
def signed() -> bytes:
    key = load_signing_key(configured=shared_key(), state_directory=Path("/nowhere"))
    return sign(MRENCLAVE, key, date=datetime.date(2026, 3, 9), isv_prod_id=7, isv_svn=3)


def number(signed: bytes, offset: int, size: int = 384) -> int:
    return int.from_bytes(signed[offset : offset + size], "little")


def test_signature_and_quotients(signed: bytes) -> None:
    modulus, signature = number(signed, 128), number(signed, 516)
    assert modulus.bit_length() == 3072 and number(signed, 512, 4) == 3
    digest = hashlib.sha256(signed[:128] + signed[900:1028]).digest()
    padded = b"\0\1" + b"\xff" * (384 - 3 - len(SHA256_PREFIX) - 32) + b"\0" + SHA256_PREFIX + digest
    assert pow(signature, 3, modulus) == int.from_bytes(padded, "big")
    # EINIT computes s^3 mod m by these: both remainders must come out in range.
    q1, q2 = number(signed, 1040), number(signed, 1424)
    first = signature * signature - q1 * modulus
    assert 0 <= first < modulus
    assert 0 <= first * signature - q2 * modulus < modulus


def test_fields(signed: bytes) -> None:
    assert len(signed) == 1808
    assert signed[:16].hex() == "06000000e10000000000010000000000"
    assert signed[16:24] == struct.pack("<II", 0, 0x20260309)
    assert signed[24:40].hex() == "01010000600000006000000001000000"
    assert not any(signed[40:128])
    assert struct.unpack_from("<II", signed, 900) == (1, 0xFFFFFFFF)  # EXINFO
    attributes, xfrm, attributes_mask, xfrm_mask = struct.unpack_from("<QQQQ", signed, 928)
    assert (attributes, attributes_mask) == (4, 2**64 - 1)  # MODE64, and so not DEBUG
    assert xfrm == 3 and xfrm_mask & 3 == 3 and xfrm_mask & 0xE4 == 0
    assert signed[960:992] == MRENCLAVE
    assert struct.unpack_from("<HH", signed, 1024) == (7, 3)


def test_check_knows_the_signer(signed: bytes) -> None:
    identity = check(signed, mrenclave=MRENCLAVE)
    assert identity.mrenclave == MRENCLAVE
    assert identity.mrsigner == hashlib.sha256(signed[128:512]).digest()


@pytest.mark.parametrize("offset", [20, 130, 520, 928, 960, 1026])
def test_check_refuses_a_changed_byte(signed: bytes, offset: int) -> None:
    changed = bytearray(signed)
    changed[offset] ^= 1
    with pytest.raises(SigstructError):
        check(bytes(changed), mrenclave=MRENCLAVE)


def test_check_refuses_another_enclave(signed: bytes) -> None:
    with pytest.raises(SigstructError, match="another MRENCLAVE"):
        check(signed, mrenclave=bytes(32))
    with pytest.raises(SigstructError, match="bytes"):
        check(signed[:-1], mrenclave=MRENCLAVE)


def test_key_is_generated_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = load_signing_key(configured=None, state_directory=tmp_path)
    assert (tmp_path / GENERATED_NAME).stat().st_mode & 0o777 == 0o600
    assert load_signing_key(configured=None, state_directory=tmp_path).private_numbers() == first.private_numbers()
    assert (first.key_size, first.public_key().public_numbers().e) == (3072, 3)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072), id="exponent"),
        pytest.param(lambda: rsa.generate_private_key(public_exponent=3, key_size=2048), id="size"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), id="kind"),
        pytest.param(None, id="no key"),
    ],
)
def test_unsuitable_key_is_refused(tmp_path: Path, key) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "key.pem"
    path.write_bytes(
        b"nonsense" if key is None else key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(HostError, match="signing_key"):
        load_signing_key(configured=path, state_directory=tmp_path)
