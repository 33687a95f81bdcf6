"""containerd's task service (v2 and v3: the messages are the same) for the containers of one shim."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty

from protos.containerd import runc_options_pb2, task_v2_pb2
from protos.containerd import task_events_pb2 as events_pb2
from shim import events
from shim.bundle import config
from shim.container import Container, timestamp
from shim.delegate import DelegateError
from shim.events import Publisher
from shim.options_file import write_options
from shim.process import Process, Status, Streams
from shim.reaper import Exit, Reaper
from shim.remove import leave_answer
from shim.rootfs import mount_rootfs, unmount_rootfs
from shim.runtime import Runtime
from shim.stdio import StdioError
from shim.ttrpc.server import Method, Services
from shim.ttrpc.status import Code, StatusError
from teemate_runtime.oci import strict_json
from teemate_runtime.oci.failure import Failure

SERVICE_NAMES = ("containerd.task.v2.Task", "containerd.task.v3.Task")
OPTIONS_TYPE = "containerd.runc.v1.Options"


class TaskService:
    """Answers the task RPCs. `on_shutdown` is called when the last container has gone and containerd says so."""

    def __init__(
        self,
        *,
        namespace: str,
        reaper: Reaper,
        publisher: Publisher,
        documents: dict[Path, strict_json.Object],
        on_shutdown: Callable[[], None],
    ) -> None:
        """`documents` holds what is known already of a bundle's config.json; each is taken once."""
        self._namespace = namespace
        self._reaper = reaper
        self._publisher = publisher
        self._documents = documents
        self._on_shutdown = on_shutdown
        self._containers: dict[str, Container] = {}
        self._creating: set[str] = set()

    def services(self) -> Services:
        pb = task_v2_pb2
        methods = {
            "Create": Method(pb.CreateTaskRequest, self.create),
            "Start": Method(pb.StartRequest, self.start),
            "Delete": Method(pb.DeleteRequest, self.delete),
            "Exec": Method(pb.ExecProcessRequest, self.exec),
            "State": Method(pb.StateRequest, self.state),
            "Wait": Method(pb.WaitRequest, self.wait),
            "Kill": Method(pb.KillRequest, self.kill),
            "Pids": Method(pb.PidsRequest, self.pids),
            "Pause": Method(pb.PauseRequest, self.pause),
            "Resume": Method(pb.ResumeRequest, self.resume),
            "Stats": Method(pb.StatsRequest, self.stats),
            "Update": Method(pb.UpdateTaskRequest, self.update),
            "CloseIO": Method(pb.CloseIORequest, self.close_io),
            "ResizePty": Method(pb.ResizePtyRequest, self.resize_pty),
            "Connect": Method(pb.ConnectRequest, self.connect),
            "Shutdown": Method(pb.ShutdownRequest, self.shutdown),
            "Checkpoint": Method(pb.CheckpointTaskRequest, self.checkpoint),
        }
        return {name: methods for name in SERVICE_NAMES}

    def _container(self, container_id: str) -> Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise StatusError(Code.NOT_FOUND, f"container {container_id}: not found") from None

    def _streams(self, request: Any) -> Streams:
        return Streams(
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
            terminal=request.terminal,
            container=request.id,
            namespace=self._namespace,
        )

    async def create(self, request: Any) -> task_v2_pb2.CreateTaskResponse:
        if request.id in self._containers or request.id in self._creating:
            raise StatusError(Code.ALREADY_EXISTS, f"container {request.id}: already exists")
        if request.checkpoint:
            raise StatusError(Code.UNIMPLEMENTED, "restoring a checkpoint: enclave memory cannot be checkpointed")
        options = runc_options_pb2.Options()
        if request.options.type_url.rsplit("/", 1)[-1] == OPTIONS_TYPE:
            options.ParseFromString(request.options.value)
        bundle = Path(request.bundle)
        self._creating.add(request.id)
        try:
            return await self._create(request, options, bundle)
        except (DelegateError, StdioError, Failure, OSError) as error:
            unmount_rootfs(bundle / "rootfs")
            raise StatusError(Code.UNKNOWN, f"OCI runtime create failed: {error}") from error
        finally:
            self._creating.discard(request.id)

    async def _create(self, request: Any, options: Any, bundle: Path) -> task_v2_pb2.CreateTaskResponse:
        write_options(bundle, options)
        document = self._documents.pop(bundle, None)
        container = Container(
            id=request.id,
            bundle=bundle,
            runtime=Runtime.from_options(
                namespace=self._namespace,
                bundle=bundle,
                options=options,
                document=config(bundle) if document is None else document,
                reaper=self._reaper,
            ),
            reaper=self._reaper,
            publisher=self._publisher,
            init=Process("", self._streams(request)),
        )

        def mount_root() -> None:
            if request.rootfs:
                mount_rootfs(list(request.rootfs), bundle / "rootfs")

        pid = await container.create(
            mount_root=mount_root, no_pivot=options.no_pivot_root, no_new_keyring=options.no_new_keyring
        )
        self._containers[request.id] = container
        event = events_pb2.TaskCreate(container_id=request.id, bundle=request.bundle, pid=pid)
        event.rootfs.extend(request.rootfs)
        event.io.stdin, event.io.stdout, event.io.stderr = request.stdin, request.stdout, request.stderr
        event.io.terminal = request.terminal
        self._publisher.publish(events.TOPIC_CREATE, event)
        return task_v2_pb2.CreateTaskResponse(pid=pid)

    async def start(self, request: Any) -> task_v2_pb2.StartResponse:
        try:
            pid = await self._container(request.id).start(request.exec_id)
        except (StdioError, OSError) as error:
            raise StatusError(Code.UNKNOWN, str(error)) from error
        return task_v2_pb2.StartResponse(pid=pid)

    async def delete(self, request: Any) -> task_v2_pb2.DeleteResponse:
        container = self._container(request.id)
        if request.exec_id:
            ended = await container.delete_exec(request.exec_id)
        else:
            async with container.deleting:
                self._container(request.id)  # another call may have removed it meanwhile
                ended = await container.delete()
                del self._containers[request.id]
        response = task_v2_pb2.DeleteResponse(
            pid=ended.pid, exit_status=ended.status, exited_at=timestamp(ended.time_ns)
        )
        if not request.exec_id:
            leave_answer(container.bundle, response)
        return response

    async def exec(self, request: Any) -> Empty:
        streams = self._streams(request)
        self._container(request.id).add_exec(request.exec_id, request.spec.value, streams)
        return Empty()

    async def state(self, request: Any) -> task_v2_pb2.StateResponse:
        container = self._container(request.id)
        process = container.process(request.exec_id)
        response = task_v2_pb2.StateResponse(
            id=request.id,
            bundle=str(container.bundle),
            pid=max(process.pid, 0),
            status=int(container.status_of(process)),
            stdin=process.streams.stdin,
            stdout=process.streams.stdout,
            stderr=process.streams.stderr,
            terminal=process.streams.terminal,
            exec_id=request.exec_id,
        )
        if process.ended.done():
            _set_exit(response, process.ended.result())
        return response

    async def wait(self, request: Any) -> task_v2_pb2.WaitResponse:
        ended = await asyncio.shield(self._container(request.id).process(request.exec_id).ended)
        return task_v2_pb2.WaitResponse(exit_status=ended.status, exited_at=timestamp(ended.time_ns))

    async def kill(self, request: Any) -> Empty:
        await self._container(request.id).kill(request.exec_id, request.signal, everyone=request.all)
        return Empty()

    async def pids(self, request: Any) -> task_v2_pb2.PidsResponse:
        response = task_v2_pb2.PidsResponse()
        for pid in await self._container(request.id).pids():
            response.processes.add(pid=pid)
        return response

    async def pause(self, request: Any) -> Empty:
        await self._container(request.id).pause()
        return Empty()

    async def resume(self, request: Any) -> Empty:
        await self._container(request.id).resume()
        return Empty()

    async def stats(self, request: Any) -> task_v2_pb2.StatsResponse:
        return task_v2_pb2.StatsResponse(stats=await self._container(request.id).metrics())

    async def update(self, request: Any) -> Empty:
        try:
            json.loads(request.resources.value)
        except ValueError as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"resources are not JSON: {error}") from error
        await self._container(request.id).update(request.resources.value)
        return Empty()

    async def close_io(self, request: Any) -> Empty:
        if request.stdin:
            self._container(request.id).process(request.exec_id).close_stdin()
        return Empty()

    async def resize_pty(self, request: Any) -> Empty:
        console = self._container(request.id).process(request.exec_id).console
        if console is not None:
            console.resize(width=request.width, height=request.height)
        return Empty()

    async def connect(self, request: Any) -> task_v2_pb2.ConnectResponse:
        container = self._containers.get(request.id)
        task = container.init.pid if container and container.init.status != Status.STOPPED else 0
        return task_v2_pb2.ConnectResponse(shim_pid=os.getpid(), task_pid=max(task, 0))

    async def shutdown(self, request: Any) -> Empty:
        if not self._containers and not self._creating:
            # After the answer has been written.
            asyncio.get_running_loop().call_soon(self._on_shutdown)
        return Empty()

    async def checkpoint(self, request: Any) -> Empty:
        raise StatusError(Code.UNIMPLEMENTED, "checkpoint: the memory of an enclave cannot be read from outside")


def _set_exit(response: task_v2_pb2.StateResponse, ended: Exit) -> None:
    response.exit_status = ended.status
    response.exited_at.FromNanoseconds(ended.time_ns)
