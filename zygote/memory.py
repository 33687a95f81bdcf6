"""The memory template (template/template.h) of this process and of the shims that are forked from it."""

import contextlib
import ctypes
import fcntl
import gc
import mmap
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LIBRARY = Path(sys.prefix) / "lib" / "teemate" / "libtemplate.so"
# A shim at rest has changed about a thousand; 64 MiB are more than it has.
LESSON_PAGES_MAX = 1 << 14
LESSON_SECONDS = 30
_PAGE_CHANGED = 1
_PAGE_WRITTEN = 2
_PR_SET_PDEATHSIG = 1
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class TemplateError(Exception):
    """There is no template, or a poor one, so shims take more memory; nothing else is wrong."""


class _Region(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint64), ("size", ctypes.c_uint64), ("offset", ctypes.c_uint64))


class _Template(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_int32),
        ("pagemap", ctypes.c_int32),
        ("region_count", ctypes.c_uint64),
        ("regions", ctypes.POINTER(_Region)),
    )


class _Page(ctypes.Structure):
    _fields_ = (("address", ctypes.c_uint64), ("offset", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class _Lesson(ctypes.Structure):
    _fields_ = (
        ("channel", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
        ("page_max", ctypes.c_uint64),
        ("page_count", ctypes.c_uint64),
        ("pages", _Page * LESSON_PAGES_MAX),
    )


class MemoryTemplate:
    """Install it, learn from a model, then fork shims, which call `settle` whenever they are at rest."""

    def __init__(self) -> None:
        """Raises TemplateError."""
        try:
            self._library = ctypes.CDLL(str(LIBRARY))
        except OSError as error:
            raise TemplateError(f"{error}; run `make build`") from error
        for name in ("template_install", "template_give_back", "template_teach", "template_keep"):
            getattr(self._library, name).restype = ctypes.c_int64
        self._file = -1
        self._regions = (_Region * 0)()
        # In the model only, and in the zygote while it forks that.
        self._lesson: _Lesson | None = None
        self._zygotes_end: socket.socket | None = None
        self._is_waiting: Callable[[], object] = lambda: None
        self._is_teachable: Callable[[], bool] = lambda: False

    @property
    def in_model(self) -> bool:
        return self._lesson is not None

    def install(self) -> None:
        """Call from the only thread. Raises TemplateError."""
        sys._clear_type_cache()
        found = list(_writable_regions())
        regions = (_Region * len(found))(*found)
        self._file = os.memfd_create("shim-memory-template", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._file, sum(region.size for region in found))
        with self._described(regions) as template:
            _check("the memory cannot be mapped anew", self._library.template_install(template))
        self._regions = regions

    def learn(
        self,
        fork_model: Callable[[], bool],
        driver: socket.socket,
        *,
        is_waiting: Callable[[], object],
        is_teachable: Callable[[], bool],
    ) -> list[int]:
        """Let the child that `fork_model` forks teach the first time it rests while `is_teachable()`.

        Returns the addresses of the pages that have the same content after it has written to them: who copies one, and
        does not write to it after all, can still give it back. `is_waiting` is called in it when it waits for its call.
        Nobody may write to the file afterwards. Raises TemplateError, also as soon as `driver` ends.
        """
        ours, models = socket.socketpair()
        lesson = _Lesson.from_buffer(mmap.mmap(-1, ctypes.sizeof(_Lesson)))
        lesson.channel = models.fileno()
        lesson.page_max = LESSON_PAGES_MAX
        self._lesson, self._zygotes_end = lesson, ours
        self._is_waiting, self._is_teachable = is_waiting, is_teachable
        try:
            with ours:
                with models:
                    if not fork_model():
                        raise TemplateError("the model has not been called")
                ready, _, _ = select.select([ours, driver], [], [], LESSON_SECONDS)
                if ours not in ready or not ours.recv(1):
                    raise TemplateError("the model has not come to rest")
                with self._described(self._regions) as template:
                    kept = self._library.template_keep(template, ctypes.byref(lesson))
                _check("the model's pages cannot be kept", kept)
                ours.send(b"\0")
                ours.recv(1)  # its end
                noted = lesson.pages[: lesson.page_count]
                return [page.address for page in noted if page.flags & (_PAGE_WRITTEN | _PAGE_CHANGED) == _PAGE_WRITTEN]
        except OSError as error:
            raise TemplateError(f"the model: {error}") from error
        finally:
            self._lesson = self._zygotes_end = None
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, _SEALS)

    def wait(self) -> None:
        """This process is ready for its call."""
        if self._lesson is not None:
            self._is_waiting()

    def be_model(self) -> None:
        """In the model: never outlive the zygote, nor the lesson."""
        if self._zygotes_end is not None:
            self._zygotes_end.close()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.alarm(LESSON_SECONDS)

    def settle(self) -> None:
        """This process is at rest: give back what is as in the template. The model teaches, and does not return.

        Raises TemplateError, after which the process has more memory of its own, and is otherwise as before.
        """
        if self._lesson is not None and not self._is_teachable():
            return
        if threading.active_count() > 1:
            return  # what another writes between the comparison and the giving back would be lost
        # What the past has left behind would make equal pages different.
        gc.collect()
        sys._clear_type_cache()
        with self._described(self._regions) as template, _no_signals():
            if self._lesson is not None:
                self._library.template_teach(template, ctypes.byref(self._lesson))
                os._exit(0)
            _check("memory cannot be given back", self._library.template_give_back(template))

    @contextlib.contextmanager
    def _described(self, regions: "ctypes.Array[_Region]") -> Iterator[object]:
        pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield ctypes.byref(_Template(self._file, pagemap, len(regions), regions))
        finally:
            os.close(pagemap)


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """The interpreter's handlers note signals in memory: as with another thread, a note could be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _writable_regions() -> Iterator[_Region]:
    """Private and writable, but for the stack, on which we are running."""
    offset = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, _, _, _, *name = line.split(maxsplit=5)
        if permissions != "rw-p" or name == ["[stack]"]:
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        yield _Region(start, end - start, offset)
        offset += end - start


def _check(what: str, result: int) -> None:
    if result < 0:
        raise TemplateError(f"{what}: {os.strerror(-result)}")
