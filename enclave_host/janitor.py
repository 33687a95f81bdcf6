"""The janitor: a child process, `mate janitor`, that enters compartments without a program: ended ones, which the LibOS
erases, and free ones, which it prepares for a start.

One compartment at a time. A janitor that crashes, answers nonsense or does not answer in time is killed and
replaced; its compartment was not scrubbed, or not prepared.
"""

import asyncio
import ctypes
import fcntl
import logging
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enclave_host.attach_protocol import (
    AttachType,
    Message,
    close_all,
    error_of,
    pack_prepare,
    receive_packet,
    send_packet,
    unpack_done,
)
from enclave_host.closing import close_aside
from enclave_host.packed import ProtocolError

ANSWER_SECONDS = 30.0
_CHANNEL_FD = 3
_NOBODY = 65534
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)

# Called with the number of pages erased, or of bytes backed; or with None and the reason why.
JobDone = Callable[[int | None, str], None]


@dataclass(eq=False)
class _Job:
    request: Message
    answer: AttachType
    descriptors: tuple[int, ...]
    done: JobDone


class Janitor:
    """Queue of compartments to scrub and to prepare. Used from the daemon's loop."""

    def __init__(self, mate: Path) -> None:
        self._mate = mate
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._queue: deque[_Job] = deque()
        self._current: _Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.restarts = 0

    def start(self) -> None:
        """Start the child beforehand, so that the first scrub need not wait for it."""
        try:
            self._start()
        except OSError as error:
            _log.error("the janitor cannot be started: %s; see the setting `mate`", error)

    def scrub(self, descriptors: tuple[int, ...], done: JobDone) -> None:
        """Scrub the compartment of a grant (grant memfd, then the mappings'). Takes the descriptors over."""
        self._queue.append(_Job(Message(AttachType.SCRUB), AttachType.SCRUBBED, descriptors, done))
        self._next()

    def prepare(self, descriptors: tuple[int, ...], memory: int, done: JobDone) -> None:
        """Back what the start of a program touches, with so many bytes for its code. As scrub."""
        request = Message(AttachType.PREPARE, pack_prepare(memory))
        self._queue.append(_Job(request, AttachType.PREPARED, descriptors, done))
        self._next()

    def close(self) -> None:
        """End the child. Jobs that wait are dropped: their compartments end with the daemon."""
        for job in self._queue:
            close_all(job.descriptors)
        self._queue.clear()
        self._current = None
        self._stop()

    def _next(self) -> None:
        if self._current is not None or not self._queue:
            return
        job = self._queue.popleft()
        self._current = job
        try:
            end = self._start()
            send_packet(end, job.request.pack(), job.descriptors)
        except OSError as error:
            self._fail(f"the janitor cannot be asked: {error}; see the setting `mate`")
            return
        finally:
            close_all(job.descriptors)
        self._timer = asyncio.get_running_loop().call_later(
            ANSWER_SECONDS, self._fail, f"the janitor did not answer within {ANSWER_SECONDS:.0f} s"
        )

    def _start(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        # By descriptor: the unprivileged child might not be able to walk the path.
        mate_fd = _open_above(self._mate, _CHANNEL_FD)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self._process = _spawn(mate_fd, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(mate_fd)
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)
        return ours

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            packet, descriptors, _ = receive_packet(self._socket, dispose=close_aside)
            close_aside(descriptors)
            if not packet:
                raise ProtocolError(f"the janitor ended{self._exit_text()}")
            message = Message.unpack(packet)
            job = self._current
            if job is None or message.type is not job.answer:
                raise ProtocolError(f"unexpected {message.type.name} from the janitor")
            if message.status:
                self._finish(None, f"the janitor could not {job.request.type.name.lower()}: {error_of(message)}")
                return
            number = unpack_done(message.body)
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            self._fail(str(error))
            return
        self._finish(number, "")

    def _exit_text(self) -> str:
        if self._process is None:
            return ""
        try:
            code = self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            return ""
        return f" by signal {-code}" if code < 0 else f" with status {code}"

    def _fail(self, reason: str) -> None:
        self._stop()
        self.restarts += 1
        if self._current is None:
            _log.warning("restarting the janitor: %s", reason)
            return
        self._finish(None, reason)

    def _finish(self, number: int | None, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        job, self._current = self._current, None
        if job is not None:
            job.done(number, reason)
        self._next()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            close_aside([self._socket.detach()])
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _open_above(path: Path, number: int) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number + 1)
    finally:
        os.close(fd)


def _spawn(mate_fd: int, channel_fd: int) -> subprocess.Popen[bytes]:
    """It runs code in compartments that a container has written to: without our rights, and with one descriptor."""
    daemon = os.getpid()

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != daemon:
            os._exit(1)
        os.set_inheritable(mate_fd, True)  # a script could not be opened by its interpreter otherwise
        if channel_fd == _CHANNEL_FD:
            os.set_inheritable(channel_fd, True)
        else:
            os.dup2(channel_fd, _CHANNEL_FD)

    user = _NOBODY if os.geteuid() == 0 else None
    return subprocess.Popen(
        ["mate", "janitor"],
        executable=f"/proc/self/fd/{mate_fd}",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        close_fds=False,  # everything of ours is close-on-exec
        cwd="/",
        env={},
        preexec_fn=prepare,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
