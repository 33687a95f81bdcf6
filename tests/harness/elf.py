"""What a program needs at run time: its ELF interpreter and, transitively, its shared libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

GLIBC_DIRECTORIES = (Path("/lib/x86_64-linux-gnu"), Path("/usr/lib/x86_64-linux-gnu"))
MUSL_DIRECTORIES = (Path("/usr/lib/x86_64-linux-musl"),)


def is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _segments(path: Path) -> tuple[str | None, list[str]]:
    interpreter, needed = None, []
    with path.open("rb") as stream:
        for segment in ELFFile(stream).iter_segments():
            if isinstance(segment, InterpSegment):
                interpreter = segment.get_interp_name()
            elif isinstance(segment, DynamicSegment):
                needed = [tag.needed for tag in segment.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
    return interpreter, needed


def runtime_files(program: Path) -> Iterator[Path]:
    """Interpreter and libraries, at the paths at which the program looks for them."""
    interpreter, needed = _segments(program)
    musl = interpreter is not None and "musl" in interpreter
    if interpreter:
        yield Path(interpreter)
    seen: set[str] = set()
    pending = needed
    while pending:
        name = pending.pop()
        if name in seen or (musl and name == "libc.so"):  # musl's loader is its libc
            continue
        seen.add(name)
        for directory in MUSL_DIRECTORIES if musl else GLIBC_DIRECTORIES:
            if (directory / name).exists():
                yield directory / name
                pending += _segments(directory / name)[1]
                break
        else:
            if not name.startswith("ld-linux"):
                raise FileNotFoundError(f"{program}: no {name} on this machine")
