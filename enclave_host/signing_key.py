"""The key that signs enclaves: the operator's, or one generated on first use."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from enclave_host.errors import HostError
from enclave_host.sigstruct import EXPONENT, KEY_SIZE

GENERATED_NAME = "signing-key.pem"


def load_signing_key(*, configured: Path | None, state_directory: Path) -> RSAPrivateKey:
    """The configured key, or the generated one in the state directory (created with mode 0600)."""
    if configured is not None:
        return _read(configured)
    path = state_directory / GENERATED_NAME
    if not path.exists():
        _generate(path)
    return _read(path)


def _read(path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise HostError(f"{path}: not readable as an unencrypted PEM key: {error}; see signing_key") from error
    if (
        not isinstance(key, RSAPrivateKey)
        or key.key_size != KEY_SIZE * 8
        or key.public_key().public_numbers().e != EXPONENT
    ):
        raise HostError(f"{path}: SGX takes RSA keys of 3072 bits with exponent 3 only; see signing_key")
    return key


def _generate(path: Path) -> None:
    key = generate_private_key(public_exponent=EXPONENT, key_size=KEY_SIZE * 8)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
