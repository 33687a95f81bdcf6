"""A container and its processes: what the task service does to them, in the order containerd relies on."""

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp

from protos.containerd import task_events_pb2 as events_pb2
from shim import enclave_metrics, events
from shim.cgroup import Cgroup
from shim.delegate import DelegateError
from shim.events import Publisher
from shim.oom import OomWatch
from shim.process import Process, Status, Streams
from shim.reaper import Exit, Reaper
from shim.rootfs import unmount_rootfs
from shim.runtime import Runtime
from shim.ttrpc.status import Code, StatusError

log = logging.getLogger(__name__)


def timestamp(time_ns: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(time_ns)
    return stamp


@dataclass
class Container:
    """One container. Methods raise StatusError; events are published after what they announce."""

    id: str
    bundle: Path
    runtime: Runtime
    reaper: Reaper
    publisher: Publisher
    init: Process
    execs: dict[str, Process] = field(default_factory=dict)
    paused: bool = False
    deleting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _oom: OomWatch | None = None
    _calls: "set[asyncio.Task[Any]]" = field(default_factory=set)
    """Calls of the runtime that are under way."""

    async def create(self, *, mount_root: Callable[[], None], no_pivot: bool, no_new_keyring: bool) -> int:
        """Create init and return its pid. `mount_root` mounts its root file system, and the caller unmounts it."""
        before = self.reaper.count
        try:
            socket = await self.init.open_streams()
            self.init.pid = await self.runtime.create(
                self.id,
                mount_root=mount_root,
                console_socket=socket.path if socket else None,
                stdio=self.init.stdio,
                no_pivot=no_pivot,
                no_new_keyring=no_new_keyring,
            )
            await self.init.streams_taken()
        except BaseException:
            self.init.close()
            raise
        self._watch(self.init, since=before)
        # Nothing runs in it before its start, which the caller can ask for once it has our answer.
        asyncio.get_running_loop().call_soon(self._watch_memory)
        return self.init.pid

    def _watch_memory(self) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            self._oom = OomWatch(Cgroup.of_process(self.init.pid), self._announce_oom)

    def _announce_oom(self) -> None:
        self.publisher.publish(events.TOPIC_OOM, events_pb2.TaskOOM(container_id=self.id))

    async def start(self, exec_id: str) -> int:
        """Start init, or an exec that was added. Returns the pid."""
        process = self.process(exec_id)
        if process.status != Status.CREATED:
            raise StatusError(Code.FAILED_PRECONDITION, f"process {exec_id or self.id} has been started already")
        if exec_id:
            return await self._start_exec(process)
        async with process.starting:
            try:
                await self.runtime.start(self.id, process.ended)
            except DelegateError as error:
                raise StatusError(Code.UNKNOWN, str(error)) from error
            if process.status == Status.CREATED:
                process.status = Status.RUNNING
            self.publisher.publish(events.TOPIC_START, events_pb2.TaskStart(container_id=self.id, pid=process.pid))
        return process.pid

    async def _start_exec(self, process: Process) -> int:
        if self.init.status == Status.STOPPED:
            raise StatusError(
                Code.FAILED_PRECONDITION, f"container {self.id} has stopped: nothing can be executed in it"
            )
        before = self.reaper.count
        async with process.starting:
            try:
                socket = await process.open_streams()
                process.pid = await self.runtime.exec(
                    self.id,
                    exec_id=process.exec_id,
                    spec=process.spec,
                    console_socket=socket.path if socket else None,
                    stdio=process.stdio,
                )
                await process.streams_taken()
            except BaseException as error:
                process.close()
                if isinstance(error, DelegateError):
                    raise StatusError(Code.UNKNOWN, str(error)) from error
                raise
            process.status = Status.RUNNING
            self._watch(process, since=before)
            self.publisher.publish(
                events.TOPIC_EXEC_STARTED,
                events_pb2.TaskExecStarted(container_id=self.id, exec_id=process.exec_id, pid=process.pid),
            )
        return process.pid

    def add_exec(self, exec_id: str, spec: bytes, streams: Streams) -> None:
        """Record an exec and its process document (OCI runtime spec, `process`)."""
        if exec_id in self.execs:
            raise StatusError(Code.ALREADY_EXISTS, f"id {exec_id}: already exists")
        try:
            json.loads(spec)
        except ValueError as error:
            raise StatusError(
                Code.INVALID_ARGUMENT, f"exec {exec_id}: the process document is not JSON: {error}"
            ) from error
        self.execs[exec_id] = Process(exec_id=exec_id, streams=streams, spec=spec)
        self.publisher.publish(events.TOPIC_EXEC_ADDED, events_pb2.TaskExecAdded(container_id=self.id, exec_id=exec_id))

    def process(self, exec_id: str) -> Process:
        if not exec_id:
            return self.init
        try:
            return self.execs[exec_id]
        except KeyError:
            raise StatusError(Code.NOT_FOUND, f"exec {exec_id} of container {self.id}: not found") from None

    async def kill(self, exec_id: str, number: int, *, everyone: bool) -> None:
        process = self.process(exec_id)
        if process.pid <= 0:
            raise StatusError(Code.FAILED_PRECONDITION, "process not created")
        if process.status == Status.STOPPED:
            raise StatusError(Code.NOT_FOUND, "process already finished")
        try:
            if exec_id:
                os.kill(process.pid, number)
            else:
                await self._under_way(self.runtime.kill(self.id, number, everyone=everyone))
        except ProcessLookupError as error:
            raise StatusError(Code.NOT_FOUND, "process already finished") from error
        except DelegateError as error:
            code = Code.NOT_FOUND if error.process_is_gone else Code.UNKNOWN
            raise StatusError(code, str(error)) from error

    async def delete_exec(self, exec_id: str) -> Exit:
        """Forget an exec that has ended or was never started."""
        process = self.process(exec_id)
        if process.status == Status.RUNNING:
            raise StatusError(Code.FAILED_PRECONDITION, f"exec {exec_id} is running: cannot be deleted")
        if process.status == Status.STOPPED:
            await process.ended
        await process.drain()
        process.close()
        self.execs.pop(exec_id, None)
        (self.bundle / f"{exec_id}.pid").unlink(missing_ok=True)
        return process.ended.result() if process.ended.done() else Exit(pid=0, status=0, time_ns=0)

    async def delete(self) -> Exit:
        """Remove the container, which has stopped or was never started. The caller holds `deleting`."""
        process = self.init
        if process.status == Status.RUNNING or self.paused:
            raise StatusError(Code.FAILED_PRECONDITION, f"container {self.id} is running: cannot be deleted")
        if process.status == Status.STOPPED:
            await process.ended  # and all that ran beside it
        # A kill whose victim has died is still to be answered: after Shutdown, which follows, it could not be.
        while self._calls:
            await asyncio.wait(self._calls)
        await process.drain()
        try:
            await self.runtime.delete(self.id, force=process.status == Status.CREATED)
        except DelegateError as error:
            raise StatusError(Code.UNKNOWN, str(error)) from error
        if process.status == Status.CREATED:
            await process.ended
        if self._oom is not None:
            self._oom.close()
        for each in (*self.execs.values(), process):
            each.close()
        unmount_rootfs(self.bundle / "rootfs")
        ended = process.ended.result()
        self.publisher.publish(
            events.TOPIC_DELETE,
            events_pb2.TaskDelete(
                container_id=self.id, pid=ended.pid, exit_status=ended.status, exited_at=timestamp(ended.time_ns)
            ),
        )
        return ended

    async def pause(self) -> None:
        await self._runtime_call(self.runtime.pause(self.id))
        self.paused = True
        self.publisher.publish(events.TOPIC_PAUSED, events_pb2.TaskPaused(container_id=self.id))

    async def resume(self) -> None:
        await self._runtime_call(self.runtime.resume(self.id))
        self.paused = False
        self.publisher.publish(events.TOPIC_RESUMED, events_pb2.TaskResumed(container_id=self.id))

    async def update(self, resources: bytes) -> None:
        await self._runtime_call(self.runtime.update(self.id, resources))

    async def pids(self) -> list[int]:
        pids: list[int] = await self._runtime_call(self.runtime.pids(self.id))
        return pids

    async def metrics(self) -> AnyMessage:
        """containerd's Metrics of the control group, and the enclave's part after them."""
        if self.init.pid <= 0 or self.init.status == Status.STOPPED:
            raise StatusError(Code.NOT_FOUND, f"container {self.id} is not running")
        try:
            metrics = Cgroup.of_process(self.init.pid).metrics()
        except OSError as error:
            raise StatusError(Code.NOT_FOUND, f"cgroup of container {self.id}: {error}") from error
        value = metrics.SerializeToString()
        try:
            usages = await self.runtime.usage(self.id)
        except DelegateError as error:
            log.warning("metrics of container %s without those of the enclave: %s", self.id, error)
            usages = None
        if usages is not None:
            value = enclave_metrics.append(value, enclave_metrics.enclave_metrics(usages))
        return AnyMessage(type_url=metrics.DESCRIPTOR.full_name, value=value)

    def status_of(self, process: Process) -> Status:
        if self.paused and process.status == Status.RUNNING:
            return Status.PAUSED
        return process.status

    async def _runtime_call(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await self._under_way(call)
        except DelegateError as error:
            raise StatusError(Code.UNKNOWN, str(error)) from error

    async def _under_way(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Await a call of the runtime, which the container is not deleted before."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return await task

    def _watch(self, process: Process, *, since: int = 0) -> None:
        """Note the exit as soon as it happens, and announce it, though never before the start.

        `since` is the reaper's count before the process was started.
        """

        def note(future: "asyncio.Future[Exit]") -> None:
            process.status = Status.STOPPED
            if process is self.init:
                self.paused = False
            if self._ends_others(process) or process.has_unread_output:
                _keep(asyncio.create_task(self._end_later(process, future.result())))
            elif not process.ended.done():
                process.ended.set_result(future.result())

        self.reaper.exit_of(process.pid, since=since).add_done_callback(note)
        _keep(asyncio.create_task(self._announce_exit(process)))

    def _ends_others(self, process: Process) -> bool:
        """With init the container ends: in a shared pid namespace its other processes would live on."""
        return process is self.init and self.runtime.shares_processes

    async def _end_later(self, process: Process, ended: Exit) -> None:
        """What it leaves comes first: processes that are to end with it, and output."""
        try:
            if self._ends_others(process):
                await self.runtime.kill(self.id, signal.SIGKILL, everyone=True)
        except DelegateError as error:
            log.warning("container %s has ended, its other processes cannot be killed: %s", self.id, error)
        finally:
            await process.output_read()
            if not process.ended.done():
                process.ended.set_result(ended)

    async def _announce_exit(self, process: Process) -> None:
        ended = await asyncio.shield(process.ended)
        if process is self.init:
            if self._oom is not None:
                self._oom.look()
            # The execs have been killed, by the kernel or by us; their exits are announced first.
            running = [each.ended for each in self.execs.values() if each.pid > 0 and not each.ended.done()]
            if running:
                await asyncio.wait(running, timeout=DEATH_OF_EXECS_TIMEOUT)
                await asyncio.sleep(0)
        async with process.starting:
            pass
        self.publisher.publish(
            events.TOPIC_EXIT,
            events_pb2.TaskExit(
                container_id=self.id,
                id=process.exec_id or self.id,
                pid=ended.pid,
                exit_status=ended.status,
                exited_at=timestamp(ended.time_ns),
            ),
        )


DEATH_OF_EXECS_TIMEOUT = 5.0
_kept: "set[asyncio.Task[None]]" = set()


def _keep(task: "asyncio.Task[None]") -> None:
    """asyncio itself has only weak references to tasks."""
    _kept.add(task)
    task.add_done_callback(_kept.discard)
