"""A container's root file system put together from files of this machine."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from tests.harness.elf import is_elf, runtime_files

SKIPPED_NAMES = frozenset(["test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip"])


class RootFs:
    """Files by the path they get in the image. Nothing is copied before `layer` writes the tar."""

    def __init__(self) -> None:
        self._files: dict[PurePosixPath, Path | bytes] = {}
        self._modes: dict[PurePosixPath, int] = {}
        self._links: dict[PurePosixPath, str] = {}
        self._directories: dict[PurePosixPath, int] = {}
        self.directory("/tmp", mode=0o1777)
        self.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        self.text("/etc/group", "root:x:0:\nuser:x:1000:\n")
        self.directory("/root", mode=0o700)
        self.directory("/home/user", mode=0o777)

    def directory(self, path: str, *, mode: int = 0o755) -> None:
        self._directories[PurePosixPath(path)] = mode

    def text(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        self._files[PurePosixPath(path)] = content.encode() if isinstance(content, str) else content
        self._modes[PurePosixPath(path)] = mode

    def link(self, path: str, target: str) -> None:
        self._links[PurePosixPath(path)] = target

    def copy(self, source: Path, path: str) -> None:
        """One file and nothing that it may need."""
        target = PurePosixPath(path)
        self._files[target] = source.resolve()
        self._modes[target] = stat.S_IMODE(source.stat().st_mode)

    def file(self, source: Path, path: str | None = None) -> None:
        """One file, with what it needs to run if it is a program or a library."""
        self.copy(source, path or str(source))
        if is_elf(source):
            for needed in runtime_files(source):
                if PurePosixPath(needed) not in self._files:
                    self.file(needed)

    def tree(self, source: Path, path: str | None = None, *, without: Collection[str] = ()) -> None:
        """A directory with everything in it except tests and what has one of these names."""
        base = PurePosixPath(path or source)
        for entry in sorted(source.iterdir()):
            if entry.name in SKIPPED_NAMES or entry.name == "dist-packages" or entry.name in without:
                continue
            if entry.is_symlink() and not entry.exists():
                continue
            if entry.is_dir():
                self.tree(entry, str(base / entry.name), without=without)
            else:
                self.file(entry, str(base / entry.name))

    def digest(self) -> str:
        """A name for the content: the same files give the same digest."""
        total = hashlib.sha256()
        for path in sorted(self._files):
            content = self._files[path]
            data = content if isinstance(content, bytes) else content.read_bytes()
            total.update(f"{path}\0{self._modes[path]:o}\0{len(data)}\0".encode() + data)
        total.update(repr((sorted(self._links.items()), sorted(self._directories.items()))).encode())
        return total.hexdigest()

    def layer(self) -> bytes:
        """An uncompressed layer tar with fixed owners and times."""
        parents = {parent for path in [*self._files, *self._links, *self._directories] for parent in path.parents}
        directories = {path: 0o755 for path in parents} | self._directories
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted(directories):
                if path != PurePosixPath("/"):
                    tar.addfile(_member(path, type=tarfile.DIRTYPE, mode=directories[path]))
            for path in sorted(self._files):
                content = self._files[path]
                data = content if isinstance(content, bytes) else content.read_bytes()
                tar.addfile(_member(path, mode=self._modes[path], size=len(data)), io.BytesIO(data))
            for path in sorted(self._links):
                tar.addfile(_member(path, type=tarfile.SYMTYPE, mode=0o777, linkname=self._links[path]))
        return stream.getvalue()


def _member(path: PurePosixPath, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(path).lstrip("/"))
    for name, value in fields.items():
        setattr(member, name, value)
    return member
