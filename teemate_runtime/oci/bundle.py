"""A bundle's config.json while a container is created from it.

The delegate reads config.json from disk, so the edit must be there for as long as it reads, and not longer: the bundle
is the user's, and other containers may be created from it. The lock makes that safe; the saved file undoes an edit
whose author was killed.
"""

from __future__ import annotations

import fcntl
import os

from teemate_runtime.oci import annotation, strict_json
from teemate_runtime.oci.failure import Failure

_CONFIG = "config.json"
_SAVED = ".config.json.teemate-saved"
_EDITED = ".config.json.teemate-edited"


class Bundle:
    """Locked from construction to close(); config.json has its own bytes again after restore()."""

    __slots__ = ("_directory", "_replaced", "config", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._replaced = False
        try:
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Failure(f"the bundle {path} cannot be opened", cause=error.strerror or str(error)) from None
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX)
            self.config = self._read()
        except BaseException:
            os.close(self._directory)
            raise

    def _read(self) -> strict_json.Object:
        config = self._parse()
        if annotation.MATE in annotation.ours(config) and self._saved_exists():
            os.rename(_SAVED, _CONFIG, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            config = self._parse()
        return config

    def _parse(self) -> strict_json.Object:
        return strict_json.parse(strict_json.read(f"{self.path}/{_CONFIG}", what=_CONFIG), what=_CONFIG)

    def _saved_exists(self) -> bool:
        try:
            os.stat(_SAVED, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    @property
    def own_pid_file(self) -> str:
        """For the delegate, if the caller names none. One name is enough: the bundle is locked while it is there."""
        return f"{self.path}/.teemate-init.pid"

    def replace_config(self) -> None:
        """Put self.config in the place of config.json. No fsync: after a crash of the host the bundle is void."""
        at = self._directory
        try:
            self._unlink(_SAVED)
            self._unlink(_EDITED)
            mode = os.stat(_CONFIG, dir_fd=at).st_mode & 0o777
            file = os.open(_EDITED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=at)
            with open(file, "wb", buffering=0) as stream:
                content = strict_json.serialize(self.config)
                if stream.write(content) != len(content):
                    raise OSError(28, "the file system is full")
            os.link(_CONFIG, _SAVED, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
            os.rename(_EDITED, _CONFIG, src_dir_fd=at, dst_dir_fd=at)
        except OSError as error:
            self._unlink(_EDITED)
            raise Failure(f"config.json in {self.path} cannot be edited", cause=error.strerror or str(error)) from None
        self._replaced = True

    def read_again(self) -> None:
        """Undo every edit, of the file and of self.config."""
        self.restore()
        self.config = self._parse()

    def restore(self) -> None:
        """Give config.json its own bytes (and inode) back."""
        if self._replaced:
            self._replaced = False
            try:
                os.rename(_SAVED, _CONFIG, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            except OSError as error:
                cause = error.strerror or str(error)
                raise Failure(f"config.json in {self.path} cannot be restored", cause=cause) from None

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._directory)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        """Restore and unlock."""
        try:
            self.restore()
        finally:
            os.close(self._directory)
