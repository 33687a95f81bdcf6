"""Programs that must be refused: broken or hostile variants of a good ELF. usage: make_broken.py GOOD OUTDIR"""

import struct
import sys
from pathlib import Path

E_MACHINE, E_PHOFF, E_PHENTSIZE, E_PHNUM = 18, 32, 54, 56
P_OFFSET, P_VADDR, P_FILESZ, P_MEMSZ = 8, 16, 32, 40
PT_LOAD, PT_INTERP = 1, 3
EM_AARCH64 = 183


def patched(good: bytes, offset: int, layout: str, value: int) -> bytes:
    out = bytearray(good)
    struct.pack_into("<" + layout, out, offset, value)
    return bytes(out)


def header(good: bytes, kind: int) -> int:
    """File offset of the first program header of this kind."""
    (table,) = struct.unpack_from("<Q", good, E_PHOFF)
    size, count = struct.unpack_from("<HH", good, E_PHENTSIZE)
    for index in range(count):
        at = table + index * size
        if struct.unpack_from("<I", good, at)[0] == kind:
            return at
    raise SystemExit(f"no program header of type {kind}")


def main() -> None:
    good, out = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
    load, interp = header(good, PT_LOAD), header(good, PT_INTERP)
    interp_at = struct.unpack_from("<Q", good, interp + P_OFFSET)[0]
    variants = {
        "empty": b"",
        "text": b"this is no program\n",
        "magic-only": good[:4],
        "truncated-header": good[:40],
        "truncated-table": good[:100],
        "truncated-body": good[: len(good) // 3],
        "aarch64": patched(good, E_MACHINE, "H", EM_AARCH64),
        "table-far-away": patched(good, E_PHOFF, "Q", 0x7FFFFFFFFFFFFFF0),
        "too-many-headers": patched(good, E_PHNUM, "H", 0xFFFE),
        "wrong-header-size": patched(good, E_PHENTSIZE, "H", 8),
        "huge-memory": patched(good, load + P_MEMSZ, "Q", 0x7FFFFFFFFFFF),
        "address-wraps": patched(good, load + P_VADDR, "Q", 0xFFFFFFFFFFFFF000),
        "file-range-wraps": patched(good, load + P_FILESZ, "Q", 0xFFFFFFFFFFFFF000),
        "interpreter-missing": good[:interp_at] + b"/no/such/ld.so\0" + good[interp_at + 15 :],
        "bad-script": b"#!/no/such/interpreter\n",
    }
    for name, content in variants.items():
        path = out / name
        path.write_bytes(content)
        path.chmod(0o755)
    plain = out / "not-executable"
    plain.write_bytes(good)
    plain.chmod(0o644)


main()
