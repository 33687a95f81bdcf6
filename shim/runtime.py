"""What is done to a container below the shim: teemate_runtime's own bundle and lease code, then the delegate.

The shim does in-process what `teemate-runtime create` does in a process of its own, and calls the delegate directly:
one process less for each call.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim import lease as leases
from shim.bundle import annotations_in, oci_version_in, shares_processes, uses_systemd_cgroup
from shim.crun_state import CrunState
from shim.delegate import Delegate, DelegateError
from shim.delegate_state import DelegateState
from shim.reaper import Exit, Reaper
from shim.runc_state import RuncState
from shim.stdio import Stdio
from teemate_runtime.oci import annotation, pid_file, strict_json
from teemate_runtime.oci.attach import Refused, Usage
from teemate_runtime.oci.context import Context, parse_context
from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.lease import FIRST_DESCRIPTOR
from teemate_runtime.oci.options import Options, parse
from teemate_runtime.oci.prepare import CREATE_OPTIONS, Opened, Prepared
from teemate_runtime.oci.wrap import wrap_process

# The delegate's root below containerd's state directory: /run/containerd/teemate as a rule, and another one for another
# containerd, whose containers may have the same names.
ROOT_NAME = "teemate"
CONTAINER_TYPE_ANNOTATION = "io.kubernetes.cri.container-type"
SANDBOX = "sandbox"


def context_of(*, namespace: str, bundle: Path, options: Any, document: strict_json.Object) -> Context:
    """The runtime's settings for a container; `options` is containerd.runc.v1.Options, `document` config.json."""
    # a bundle is STATE/io.containerd.runtime.v2.task/NAMESPACE/ID
    root = (Path(options.root) if options.root else bundle.resolve().parents[2] / ROOT_NAME) / namespace
    words = [f"--root={root}", f"--log={bundle / 'log.json'}", "--log-format=json"]
    if options.systemd_cgroup or uses_systemd_cgroup(document):
        words.append("--systemd-cgroup")
    context = parse_context(words, library=f"{sys.prefix}/lib/teemate")
    if options.binary_name:
        context.settings.delegate = options.binary_name
    elif crun_works(oci_version=oci_version_in(document)):
        context.candidates = ("crun", "runc")  # crun creates a container in less than half of runc's time
    return context


def crun_works(*, oci_version: str, cgroup_root: Path = Path("/sys/fs/cgroup")) -> bool:
    """crun refuses hosts whose controllers are divided between cgroup v1 and v2.

    Debian 12's also refuses documents of a later version than 1.0, which containerd writes since 1.7.
    """
    if not oci_version.startswith("1.0."):
        return False
    try:
        return not (cgroup_root / "unified" / "cgroup.controllers").read_text().strip()
    except OSError:
        return True


@dataclass
class Runtime:
    """One container below the shim. Methods raise DelegateError."""

    context: Context
    bundle: Path
    delegate: Delegate
    shares_processes: bool
    """Its init is not the first in its pid namespace."""
    is_sandbox: bool
    """A pod's pause container: it runs no code of the user's, and takes no compartment."""
    _protected: dict[str, str] = field(default_factory=dict)
    """The annotations io.teemate.* of the running container; without MATE it holds no lease (a pause container)."""
    _state: DelegateState | None = None
    """What counts of the delegate's record: all of it stays as `create` has written it."""

    @classmethod
    def from_options(
        cls, *, namespace: str, bundle: Path, options: Any, document: strict_json.Object, reaper: Reaper
    ) -> "Runtime":
        """`options` is containerd.runc.v1.Options, `document` config.json."""
        try:
            context = context_of(namespace=namespace, bundle=bundle, options=options, document=document)
            return cls(
                context,
                bundle,
                Delegate(context, bundle, reaper),
                shares_processes=shares_processes(document),
                is_sandbox=annotations_in(document).get(CONTAINER_TYPE_ANNOTATION) == SANDBOX,
            )
        except Failure as failure:
            raise DelegateError(str(failure)) from failure

    async def create(
        self,
        container: str,
        *,
        mount_root: Callable[[], None],
        console_socket: Path | None,
        stdio: Stdio | None,
        no_pivot: bool,
        no_new_keyring: bool,
    ) -> int:
        """Create the container's init, with a lease bound to it. Returns its pid.

        On failure nothing is left but what `mount_root` has mounted, whose OSError is passed on.
        """
        path = self.bundle / "init.pid"
        words = [f"--bundle={self.bundle}"]
        words += [f"--console-socket={console_socket}"] if console_socket else []
        words += ["--no-pivot"] if no_pivot else []
        words += ["--no-new-keyring"] if no_new_keyring else []
        try:
            if self.is_sandbox:
                mount_root()
                await self.delegate.run(["create", *words, f"--pid-file={path}", container], stdio=stdio)
                return pid_file.read(str(path))
            prepared = await self._prepare(container, parse(words, CREATE_OPTIONS, command="create"), mount_root)
            self._protected = annotation.ours(prepared.bundle.config)
            try:
                command = ["create", *prepared.words, f"--pid-file={path}", container]
                await self.delegate.run(command, stdio=stdio, redirections=prepared.redirections)
                return await self._bind_init(prepared, container, path)
            finally:
                prepared.close()
        except Failure as failure:
            raise DelegateError(str(failure)) from failure

    async def _prepare(self, container: str, options: Options, mount_root: Callable[[], None]) -> Prepared:
        opened = Opened(self.context, options)

        def edit_and_mount() -> None:
            opened.edit()
            mount_root()

        try:
            lease = await leases.acquire_or_leave(self.context, opened.wishes, container, edit_and_mount)
        except BaseException:
            opened.bundle.close()
            raise
        return opened.finish(lease)

    async def _bind_init(self, prepared: Prepared, container: str, path: Path) -> int:
        try:
            pid = pid_file.read(str(path))
            if prepared.lease:
                prepared.lease.ask_to_bind(pid)
            # While the daemon binds it.
            prepared.bundle.restore()
            self._state = self._read_state(container)
            if prepared.lease:
                prepared.lease.connection.receive_bind()
        except (Refused, Failure) as error:
            with contextlib.suppress(DelegateError):
                await self.delete(container, force=True)
            raise DelegateError(f"the lease of container {container} cannot be bound: {error}") from error
        return pid

    async def start(self, container: str, ended: "asyncio.Future[Exit]") -> None:
        """Let the created init run; `ended` is its end, which may come first. Raises DelegateError."""
        state = self._state or self._read_state(container)
        if state and state.start_is_plain:
            await state.start(ended)
        else:
            await self.delegate.run(["start", container])

    def _read_state(self, container: str) -> DelegateState | None:
        directory = Path(self.context.root or "/") / container
        return RuncState.read(directory) or CrunState.read(directory)

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
                wishes = annotation.wishes(self._protected, settings=self.context.settings, pool_option=None)
                lease = await leases.acquire(self.context, wishes, container, exec_id)
                redirections = lease.actions(FIRST_DESCRIPTOR)
                words.append(f"--preserve-fds={lease.size}")
            process_file.write_bytes(strict_json.serialize(process))
            await self.delegate.run([*words, container], stdio=stdio, redirections=redirections)
            pid = pid_file.read(str(path))
            if lease:
                leases.bind_exec(lease, pid)
            return pid
        except (Failure, OSError) as error:
            raise DelegateError(str(error)) from error
        finally:
            process_file.unlink(missing_ok=True)
            if lease:
                lease.close()

    async def kill(self, container: str, number: int, *, everyone: bool) -> None:
        """Signal the container's init, or every process in it."""
        await self.delegate.run(["kill", *(["--all"] if everyone else []), container, str(number)])

    async def delete(self, container: str, *, force: bool) -> None:
        """Remove the container; its leases have ended when this returns."""
        if annotation.MATE not in self._protected:
            await self._remove(container, force=force)
        elif force:
            await self._remove(container, force=True)
            await leases.release(self.context, container)
        else:  # its processes have ended: the daemon can take the leases back meanwhile
            released = asyncio.create_task(leases.release(self.context, container))
            await asyncio.sleep(0)
            try:
                await self._remove(container, force=False)
            finally:
                await released

    async def _remove(self, container: str, *, force: bool) -> None:
        if not force and not self.shares_processes and not self.context.options.flag("systemd-cgroup"):
            state = self._state or self._read_state(container)
            if state and state.delete_is_plain and state.forget():
                return
        await self.delegate.run(["delete", *(["--force"] if force else []), container])

    async def pause(self, container: str) -> None:
        await self.delegate.run(["pause", container])

    async def resume(self, container: str) -> None:
        await self.delegate.run(["resume", container])

    async def update(self, container: str, resources: bytes) -> None:
        """`resources` is the OCI spec's LinuxResources as JSON."""
        await self.delegate.run(["update", "--resources=-", container], stdin=resources)

    async def usage(self, container: str) -> list[Usage] | None:
        """What the container takes of enclaves; None if it is in none."""
        if annotation.MATE not in self._protected:
            return None
        try:
            return await leases.usage(self.context, container)
        except (Refused, Failure) as error:
            raise DelegateError(str(error)) from error

    async def pids(self, container: str) -> list[int]:
        output = await self.delegate.run(["ps", "--format=json", container])
        try:
            return [int(pid) for pid in json.loads(output)]
        except (ValueError, TypeError) as error:
            raise DelegateError(f"unexpected answer of `ps`: {output[:200]!r}") from error
