"""The enclave image: the LibOS as an ELF file, read into the pages that EADD adds."""

import itertools
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from enclave_host.layout import ENCLAVE_BASE, IMAGE_SIZE
from enclave_host.sgx import PAGE_SIZE, Secinfo

ENCLU = b"\x0f\x01\xd7"
ENCLU_SITE_SIZE = 5  # ENCLU and a two-byte NOP


class ImageError(Exception):
    """The file is not an enclave image that can be loaded."""


@dataclass(frozen=True)
class Segment:
    """A run of pages with one set of permissions; `offset` is relative to the enclave's base."""

    offset: int
    content: bytes
    permissions: Secinfo


@dataclass(frozen=True)
class EnclaveImage:
    """An image ready to be built: its segments, its entry point and its ENCLU sites (enclave-relative)."""

    segments: tuple[Segment, ...]
    entry: int
    enclu_sites: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes from the start of the image region to the end of the last segment, whole pages."""
        return max(segment.offset + len(segment.content) for segment in self.segments)


def load_image(path: Path) -> EnclaveImage:
    """Read and check a LibOS ELF file.

    Raises ImageError when the file is missing, is no ELF file of ours, or has a segment outside the image
    region, a writable one, or one that is not page-aligned.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no enclave image there; run `make build` or set `image`") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error}") from error
    try:
        return _read(ELFFile(BytesIO(content)), path)
    except ImageError:
        raise
    except Exception as error:  # pyelftools raises whatever a malformed file leads it to
        raise ImageError(f"{path}: not readable as an ELF enclave image: {error}") from error


def _read(elf: ELFFile, path: Path) -> EnclaveImage:
    if elf.elfclass != 64 or elf["e_machine"] != "EM_X86_64" or elf["e_type"] != "ET_EXEC":
        raise ImageError(f"{path}: not a static x86-64 executable")
    segments = []
    for header in elf.iter_segments("PT_LOAD"):
        if header["p_memsz"] == 0:
            continue
        offset = header["p_vaddr"] - ENCLAVE_BASE
        size = -(-header["p_memsz"] // PAGE_SIZE) * PAGE_SIZE
        if offset < 0 or offset + size > IMAGE_SIZE or offset % PAGE_SIZE:
            raise ImageError(f"{path}: segment at {header['p_vaddr']:#x} is not page-aligned in the image region")
        content = header.data()
        if len(content) != header["p_filesz"] or len(content) > size:
            raise ImageError(f"{path}: segment at {header['p_vaddr']:#x} is cut off")
        content = content.ljust(size, b"\0")
        if header["p_flags"] & P_FLAGS.PF_W:
            raise ImageError(f"{path}: segment at {header['p_vaddr']:#x} is writable; the image must be read-only")
        permissions = Secinfo.REG | Secinfo.R
        if header["p_flags"] & P_FLAGS.PF_X:
            permissions |= Secinfo.X
        segments.append(Segment(offset=offset, content=content, permissions=permissions))
    segments.sort(key=lambda segment: segment.offset)
    if not segments:
        raise ImageError(f"{path}: no loadable segment")
    for first, second in itertools.pairwise(segments):
        if first.offset + len(first.content) > second.offset:
            raise ImageError(f"{path}: segments share the page at {ENCLAVE_BASE + second.offset:#x}")
    image = EnclaveImage(
        segments=tuple(segments),
        entry=elf["e_entry"] - ENCLAVE_BASE,
        enclu_sites=_enclu_sites(elf, path),
    )
    for site in image.enclu_sites:
        if _bytes_at(image, site, len(ENCLU)) != ENCLU:
            raise ImageError(f"{path}: .enclu_sites names {site:#x}, where there is no ENCLU")
    return image


def _enclu_sites(elf: ELFFile, path: Path) -> tuple[int, ...]:
    section = elf.get_section_by_name(".enclu_sites")
    if section is None or section["sh_size"] == 0 or section["sh_size"] % 8:
        raise ImageError(f"{path}: no .enclu_sites section; is this a LibOS image?")
    raw = section.data()
    return tuple(int.from_bytes(raw[at : at + 8], "little") - ENCLAVE_BASE for at in range(0, len(raw), 8))


def _bytes_at(image: EnclaveImage, offset: int, size: int) -> bytes:
    for segment in image.segments:
        if segment.offset <= offset and offset + size <= segment.offset + len(segment.content):
            return segment.content[offset - segment.offset :][:size]
    return b""
