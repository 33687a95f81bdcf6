"""Driving the OCI runtime below the shim: teemate_runtime's own bundle and lease code, then runc or crun.

The shim does in-process what `teemate-runtime create` does in a process of its own, and calls the delegate directly:
one interpreter start less for each call.
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim.reaper import Reaper
from shim.stdio import Stdio
from teemate_runtime.oci import annotation, pid_file, strict_json
from teemate_runtime.oci.attach import Connection, Refused
from teemate_runtime.oci.context import Context, parse_context
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.lease import FIRST_DESCRIPTOR, Lease, container_name
from teemate_runtime.oci.options import parse
from teemate_runtime.oci.prepare import CREATE_OPTIONS, Prepared, prepare
from teemate_runtime.oci.wrap import wrap_process

DEFAULT_ROOT = Path("/run/containerd/teemate")
CONTAINER_TYPE_ANNOTATION = "io.kubernetes.cri.container-type"
SANDBOX = "sandbox"

# What runc says of a process that has gone (containerd's process/utils.go: checkKillError).
_GONE = ("os: process already finished", "container not running", "no such process", "does not exist")


class DelegateError(Exception):
    """The OCI runtime refused; the text is its last error."""

    @property
    def process_is_gone(self) -> bool:
        text = str(self).lower()
        return any(phrase in text for phrase in _GONE)


@dataclass
class Runtime:
    """The delegate for one container."""

    context: Context
    bundle: Path
    reaper: Reaper | None
    _protected: dict[str, str] = field(default_factory=dict)
    """The annotations io.teemate.* of the running container; without MATE it holds no lease (a pause container)."""

    @classmethod
    def from_options(cls, *, namespace: str, bundle: Path, options: Any, reaper: Reaper | None) -> "Runtime":
        """`options` is containerd.runc.v1.Options."""
        root = Path(options.root or DEFAULT_ROOT) / namespace
        words = [f"--root={root}", f"--log={bundle / 'log.json'}", "--log-format=json"]
        if options.systemd_cgroup:
            words.append("--systemd-cgroup")
        return cls(parse_context(words, library=f"{sys.prefix}/lib/teemate"), bundle, reaper)

    async def create(
        self, container: str, *, console_socket: Path | None, stdio: Stdio | None, no_pivot: bool, no_new_keyring: bool
    ) -> int:
        """Create the container's init, with a lease bound to it. On failure nothing is left. Returns its pid."""
        path = self.bundle / "init.pid"
        words = [f"--bundle={self.bundle}"]
        words += [f"--console-socket={console_socket}"] if console_socket else []
        words += ["--no-pivot"] if no_pivot else []
        words += ["--no-new-keyring"] if no_new_keyring else []
        if self._is_sandbox():
            await self._run(["create", *words, f"--pid-file={path}", container], stdio=stdio)
            return pid_file.read(str(path))
        options = parse(words, CREATE_OPTIONS, command="create")
        try:
            prepared = await asyncio.to_thread(prepare, self.context, options, container)
        except Failure as failure:
            raise DelegateError(str(failure)) from failure
        self._protected = annotation.ours(prepared.bundle.config)
        try:
            command = ["create", *prepared.words, f"--pid-file={path}", container]
            await self._run(command, stdio=stdio, redirections=prepared.redirections)
            return await self._bind_init(prepared, container, path)
        finally:
            prepared.close()

    async def _bind_init(self, prepared: Prepared, container: str, path: Path) -> int:
        pid = pid_file.read(str(path))
        if prepared.lease:
            try:
                prepared.lease.bind(pid)
            except (Refused, Failure) as error:
                with contextlib.suppress(DelegateError):
                    await self.delete(container, force=True)
                raise DelegateError(f"the lease of container {container} cannot be bound: {error}") from error
        return pid

    def _is_sandbox(self) -> bool:
        """A pod's pause container runs no code of the user's: it takes no compartment."""
        try:
            config = json.loads((self.bundle / "config.json").read_bytes())
            return bool((config.get("annotations") or {}).get(CONTAINER_TYPE_ANNOTATION) == SANDBOX)
        except (OSError, ValueError, AttributeError) as error:
            raise DelegateError(f"{self.bundle}/config.json cannot be read: {error}") from error

    async def start(self, container: str) -> None:
        await self._run(["start", container])

    async def exec(
        self, container: str, *, exec_id: str, spec: bytes, console_socket: Path | None, stdio: Stdio | None
    ) -> int:
        """Run a further process, with a lease of its own. Returns its pid."""
        process_file = self.bundle / f"{exec_id}.process.json"
        path = self.bundle / f"{exec_id}.pid"
        lease = None
        words = ["exec", f"--process={process_file}", "--detach", f"--pid-file={path}"]
        words += [f"--console-socket={console_socket}"] if console_socket else []
        try:
            process = strict_json.parse(spec, what="the process document")
            redirections = []
            if annotation.MATE in self._protected:
                wrap_process(process, mate=self._protected[annotation.MATE], lease_descriptor=FIRST_DESCRIPTOR)
                lease = await asyncio.to_thread(self._exec_lease, container, exec_id)
                redirections = lease.actions(FIRST_DESCRIPTOR)
                words.append(f"--preserve-fds={lease.size}")
            process_file.write_bytes(strict_json.serialize(process))
            await self._run([*words, container], stdio=stdio, redirections=redirections)
            pid = pid_file.read(str(path))
            if lease:
                self._bind_exec(lease, pid)
            return pid
        except (Failure, OSError) as error:
            raise DelegateError(str(error)) from error
        finally:
            process_file.unlink(missing_ok=True)
            if lease:
                lease.close()

    def _exec_lease(self, container: str, exec_id: str) -> Lease:
        wishes = annotation.wishes(self._protected, settings=self.context.settings, pool_option=None)
        name = container_name(self.context.root, container)
        return Lease.acquire(self.context.settings.attach_socket, wishes, container=name, process=exec_id)

    @staticmethod
    def _bind_exec(lease: Lease, pid: int) -> None:
        try:
            lease.bind(pid)
        except Refused as refusal:
            if refusal.code == errno.ESRCH:
                return  # it has run and ended already
            os.kill(pid, signal.SIGKILL)
            raise DelegateError(f"the lease of an exec cannot be bound: {refusal}") from refusal

    async def kill(self, container: str, number: int, *, everyone: bool) -> None:
        """Signal the container's init, or every process in it."""
        await self._run(["kill", *(["--all"] if everyone else []), container, str(number)])

    async def delete(self, container: str, *, force: bool) -> None:
        """Remove the container; its leases have ended when this returns."""
        await self._run(["delete", *(["--force"] if force else []), container])
        if annotation.MATE in self._protected:
            with contextlib.suppress(Refused, Failure):  # the lease ends with its process in any case
                await asyncio.to_thread(self._release, container)

    def _release(self, container: str) -> None:
        connection = Connection(self.context.settings.attach_socket)
        try:
            connection.release(container_name(self.context.root, container))
        finally:
            connection.close()

    async def pause(self, container: str) -> None:
        await self._run(["pause", container])

    async def resume(self, container: str) -> None:
        await self._run(["resume", container])

    async def update(self, container: str, resources: bytes) -> None:
        """`resources` is the OCI spec's LinuxResources as JSON."""
        await self._run(["update", "--resources=-", container], stdin=resources)

    async def pids(self, container: str) -> list[int]:
        output = await self._run(["ps", "--format=json", container])
        try:
            return [int(pid) for pid in json.loads(output)]
        except (ValueError, TypeError) as error:
            raise DelegateError(f"unexpected answer of `ps`: {output[:200]!r}") from error

    async def _run(
        self,
        words: list[str],
        *,
        stdio: Stdio | None = None,
        redirections: list[tuple[int, int]] | None = None,
        stdin: bytes = b"",
    ) -> bytes:
        """Run the delegate; its stdout, unless `stdio` gives it the container's streams."""
        assert self.reaper is not None, "the shim that serves has one"
        with contextlib.ExitStack() as stack:
            output = _memfd(stack, b"")
            source, target, errors = stdio.inherit if stdio else (_memfd(stack, stdin), output, output)
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((source, target, errors))]
            actions += [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in redirections or []]
            path = self.context.delegate
            log_size = self._log_size()
            pid = os.posix_spawn(
                path,
                [path, *self.context.global_words(), *words],
                os.environ,
                file_actions=actions,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                setsigmask=[],
            )
            ended = await self.reaper.exit_of(pid)
            text = os.pread(output, 1 << 20, 0)
        if ended.status:
            raise DelegateError(self._last_error(log_size) or text.decode(errors="replace").strip() or words[0])
        return text

    def _log_size(self) -> int:
        with contextlib.suppress(OSError):
            return (self.bundle / "log.json").stat().st_size
        return 0

    def _last_error(self, start: int) -> str:
        """The last error that this call has added to the log."""
        with contextlib.suppress(OSError, ValueError), (self.bundle / "log.json").open() as log:
            log.seek(start)
            entries = [json.loads(line) for line in log if line.strip()]
            for entry in reversed(entries):
                if entry.get("level") == "error":
                    return str(entry.get("msg", ""))
        return ""


def _memfd(stack: contextlib.ExitStack, content: bytes) -> int:
    fd = os.memfd_create("delegate", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
