"""SIGSTRUCT: the signed description of an enclave that EINIT checks (SDM 3D 34.14)."""

import datetime
import hashlib
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from enclave_host.errors import HostError
from enclave_host.sgx import ATTRIBUTE_MODE64, MISCSELECT_EXINFO, XFRM_LEGACY, XFRM_SUPPORTED

SIZE = 1808
KEY_SIZE = 384
EXPONENT = 3

_HEADER1 = bytes.fromhex("06000000e10000000000010000000000")
_HEADER2 = bytes.fromhex("01010000600000006000000001000000")
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF

_SIGNED_HEAD = struct.Struct("<16sII16sI84x")
# MISCSELECT and its mask, CET, family id, ATTRIBUTES and their mask, MRENCLAVE, extended product id,
# ISVPRODID, ISVSVN.
_SIGNED_BODY = struct.Struct("<II4x16xQQQQ32s16x16xHH")
_BODY_OFFSET = 900
_Q1_OFFSET = 1040
_MODULUS_OFFSET = 128
_SIGNATURE_OFFSET = 516


class SigstructError(HostError):
    """The SIGSTRUCT does not fit the enclave, or its signature is wrong."""


@dataclass(frozen=True)
class Identity:
    """What EINIT learns about an enclave."""

    mrenclave: bytes
    mrsigner: bytes


def sign(mrenclave: bytes, key: RSAPrivateKey, *, date: datetime.date, isv_prod_id: int = 0, isv_svn: int = 0) -> bytes:
    """The SIGSTRUCT of an enclave: MODE64 without DEBUG, EXINFO, any of the supported XSAVE components."""
    head = _SIGNED_HEAD.pack(_HEADER1, 0, int(date.strftime("%Y%m%d"), 16), _HEADER2, 0)
    body = _SIGNED_BODY.pack(
        MISCSELECT_EXINFO,
        0xFFFF_FFFF,
        ATTRIBUTE_MODE64,
        XFRM_LEGACY,
        _ALL_BITS,
        # The host's CPU decides about the optional components: they are not part of the promise.
        _ALL_BITS & ~(XFRM_SUPPORTED & ~XFRM_LEGACY),
        mrenclave,
        isv_prod_id,
        isv_svn,
    )
    modulus = key.public_key().public_numbers().n
    signature = int.from_bytes(key.sign(head + body, PKCS1v15(), SHA256()), "big")
    # q1 and q2 spare EINIT the long divisions: q1 = s^2 / m, q2 = s * (s^2 mod m) / m.
    q1, remainder = divmod(signature * signature, modulus)
    q2 = signature * remainder // modulus
    sigstruct = bytearray(SIZE)
    sigstruct[: len(head)] = head
    sigstruct[_MODULUS_OFFSET:_BODY_OFFSET] = (
        modulus.to_bytes(KEY_SIZE, "little") + struct.pack("<I", EXPONENT) + signature.to_bytes(KEY_SIZE, "little")
    )
    sigstruct[_BODY_OFFSET : _BODY_OFFSET + len(body)] = body
    sigstruct[_Q1_OFFSET:SIZE] = q1.to_bytes(KEY_SIZE, "little") + q2.to_bytes(KEY_SIZE, "little")
    return bytes(sigstruct)


def mrsigner(key: RSAPublicKey) -> bytes:
    """SHA-256 of the modulus, as EINIT computes it."""
    return hashlib.sha256(key.public_numbers().n.to_bytes(KEY_SIZE, "little")).digest()


def check(sigstruct: bytes, *, mrenclave: bytes) -> Identity:
    """What EINIT checks: signature and measurement. Raises SigstructError."""
    if len(sigstruct) != SIZE:
        raise SigstructError(f"SIGSTRUCT of {len(sigstruct)} bytes instead of {SIZE}")
    modulus = sigstruct[_MODULUS_OFFSET : _MODULUS_OFFSET + KEY_SIZE]
    signature = int.from_bytes(sigstruct[_SIGNATURE_OFFSET : _SIGNATURE_OFFSET + KEY_SIZE], "little")
    signed = sigstruct[: _SIGNED_HEAD.size] + sigstruct[_BODY_OFFSET : _BODY_OFFSET + _SIGNED_BODY.size]
    public_key = RSAPublicNumbers(EXPONENT, int.from_bytes(modulus, "little")).public_key()
    try:
        public_key.verify(signature.to_bytes(KEY_SIZE, "big"), signed, PKCS1v15(), SHA256())
    except Exception as error:  # InvalidSignature, or ValueError for a modulus that is none
        raise SigstructError("the signature of the SIGSTRUCT is wrong") from error
    if _SIGNED_BODY.unpack_from(sigstruct, _BODY_OFFSET)[6] != mrenclave:
        raise SigstructError("the SIGSTRUCT is for another MRENCLAVE")
    return Identity(mrenclave=mrenclave, mrsigner=mrsigner(public_key))
