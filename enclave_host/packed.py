"""What is common to all that `mate/lease.h` describes: names of fixed size, sizes that must be exact."""


class ProtocolError(Exception):
    """A packet that is not what lease.h describes."""


def pack_name(field: str, name: str, size: int) -> bytes:
    raw = name.encode()
    if len(raw) >= size or b"\0" in raw:
        raise ProtocolError(f"{field} `{name[:80]}` does not fit: at most {size - 1} bytes, none of them NUL")
    return raw.ljust(size, b"\0")


def unpack_name(field: str, raw: bytes) -> str:
    name, _, padding = raw.partition(b"\0")
    if padding.strip(b"\0"):
        raise ProtocolError(f"{field} is not NUL-padded")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{field} is not UTF-8") from None
    if not text.isprintable():
        raise ProtocolError(f"{field} has control characters")
    return text


def expect_size(what: str, content: bytes, size: int) -> None:
    if len(content) != size:
        raise ProtocolError(f"{what} of {len(content)} bytes instead of {size}")
