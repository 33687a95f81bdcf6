"""A private containerd with its CRI plug-in, and a client that does to it what a kubelet does."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from protos import cri_pb2 as pb
from protos import cri_pb2_grpc
from tests.harness import cgroups
from tests.harness.containerd import Containerd, Programs
from tests.harness.cri_stream import Stream
from tests.harness.images import image
from tests.harness.paths import TEEMATE
from tests.harness.patience import PATIENCE
from tests.harness.process import HarnessError, clean_environment, wait_until

NAMESPACE = "k8s.io"
# Pods use the host's network: no CNI plug-in is needed.
NAMESPACES = pb.NamespaceOption(network=pb.NODE, pid=pb.CONTAINER, ipc=pb.POD)

# No oom_score_adj below the test's own: a container within a container may not lower it.
CONFIG_2 = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{socket}"
[debug]
  level = "info"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{directory}/cni"
    conf_dir = "{directory}/cni"
"""
CONFIG_3 = """\
version = 3
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{socket}"
[debug]
  level = "info"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{directory}/cni"]
    conf_dir = "{directory}/cni"
"""


class CriContainerd(Containerd):
    """The handler `teemate` is entered by `teemate configure containerd`, as an operator would do it."""

    def __init__(
        self,
        *,
        directory: Path,
        environment: Mapping[str, str],
        programs: Programs | None = None,
        config_version: int = 2,
    ) -> None:
        super().__init__(directory=directory, environment=environment, programs=programs)
        self._config_version = config_version
        self._imported: set[tuple[str, str]] = set()

    def configuration(self) -> str:
        template = CONFIG_3 if self._config_version == 3 else CONFIG_2
        file = self.directory / "base.toml"
        file.write_text(template.format(directory=self.directory, socket=self.socket, pause=image("pause").name))
        done = subprocess.run(
            [TEEMATE, "configure", "containerd", "--config", file],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=clean_environment(),
        )
        if done.returncode:
            raise HarnessError(f"teemate configure containerd: {done.stdout}{done.stderr}")
        return file.read_text()

    def start(self) -> None:
        super().start()
        self.image("pause")

    def image(self, name: str, *, namespace: str = NAMESPACE) -> str:
        """The image's name in Kubernetes' namespace (or another), imported on first use."""
        made = image(name)
        if (namespace, name) not in self._imported:
            done = self.ctr("--namespace", namespace, "images", "import", made.archive)
            if done.returncode:
                raise HarnessError(f"ctr images import: {done.stderr}")
            self._imported.add((namespace, name))
        return made.name


@dataclass(frozen=True)
class Pod:
    """A pod sandbox that runs; `config` is what every container of it is created with."""

    id: str
    handler: str
    config: pb.PodSandboxConfig

    def log(self, name: str) -> list[str]:
        """The lines of a container's log as `STREAM TAG TEXT`, without their times."""
        text = (Path(self.config.log_directory) / f"{name}.log").read_text()
        return [line.partition(" ")[2] for line in text.splitlines()]

    def whole_log(self, name: str, *, lines: int) -> list[str]:
        """The log once it has so many lines: containerd may write the last ones after it has announced the end."""
        wait_until(lambda: len(self.log(name)) >= lines)
        return self.log(name)


class Cri:
    """RuntimeService over containerd's socket. Use as a context manager."""

    def __init__(self, containerd: CriContainerd, *, on_pod: Callable[[Pod], None] = lambda pod: None) -> None:
        self._containerd = containerd
        self._on_pod = on_pod
        self._channel = grpc.insecure_channel(f"unix:{containerd.socket}")
        self.runtime = cri_pb2_grpc.RuntimeServiceStub(self._channel)
        self._images = cri_pb2_grpc.ImageServiceStub(self._channel)
        self._cgroup = cgroups.new_name()

    def __enter__(self) -> Cri:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        cgroups.remove(self._cgroup)  # the kubelet's task

    def run_pod(self, handler: str, *, annotations: Mapping[str, str] | None = None, shared_pids: bool = False) -> Pod:
        """RunPodSandbox. Raises grpc.RpcError."""
        uid = secrets.token_hex(4)
        namespaces = pb.NamespaceOption()
        namespaces.CopyFrom(NAMESPACES)
        if shared_pids:
            namespaces.pid = pb.POD
        config = pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=f"pod-{uid}", uid=uid, namespace="default"),
            log_directory=str(self._containerd.directory / "logs" / uid),
            labels={"app": "test"},
            annotations=dict(annotations or {}),
            linux=pb.LinuxPodSandboxConfig(
                cgroup_parent=f"/{self._cgroup}",
                security_context=pb.LinuxSandboxSecurityContext(namespace_options=namespaces),
            ),
        )
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        pod = Pod(self.runtime.RunPodSandbox(request, timeout=PATIENCE).pod_sandbox_id, handler, config)
        self._on_pod(pod)
        return pod

    @contextlib.contextmanager
    def pod(
        self, handler: str, *, annotations: Mapping[str, str] | None = None, shared_pids: bool = False
    ) -> Iterator[Pod]:
        """A pod for the length of the block; what is still in it at the end goes with it."""
        running = self.run_pod(handler, annotations=annotations, shared_pids=shared_pids)
        try:
            yield running
        finally:
            self.remove_pod(running)

    def remove_pod(self, pod: Pod) -> None:
        self.runtime.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod.id), timeout=PATIENCE)
        self.runtime.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod.id), timeout=PATIENCE)

    def create(
        self,
        pod: Pod,
        name: str,
        image_name: str,
        *command: str,
        annotations: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        memory_limit: int = 0,
        stdin: bool = False,
        tty: bool = False,
    ) -> str:
        """CreateContainer; the container's id."""
        config = pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name),
            image=self._image(image_name),
            command=command,
            envs=[pb.KeyValue(key=key, value=value) for key, value in (environment or {}).items()],
            annotations=dict(annotations or {}),
            log_path=f"{name}.log",
            stdin=stdin,
            tty=tty,
            linux=pb.LinuxContainerConfig(
                resources=pb.LinuxContainerResources(memory_limit_in_bytes=memory_limit),
                security_context=pb.LinuxContainerSecurityContext(
                    namespace_options=pod.config.linux.security_context.namespace_options
                ),
            ),
        )
        request = pb.CreateContainerRequest(pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config)
        container: str = self.runtime.CreateContainer(request, timeout=PATIENCE).container_id
        return container

    def _image(self, name: str) -> pb.ImageSpec:
        """The plug-in learns of an imported image by an event: wait until it knows it."""
        spec = pb.ImageSpec(image=self._containerd.image(name))
        request = pb.ImageStatusRequest(image=spec)
        if not wait_until(lambda: self._images.ImageStatus(request).HasField("image")):
            raise HarnessError(f"the CRI plug-in does not know the image {spec.image}")
        return spec

    def start(self, container: str) -> None:
        self.runtime.StartContainer(pb.StartContainerRequest(container_id=container), timeout=PATIENCE)

    def run(self, pod: Pod, name: str, image_name: str, *command: str, **options: Mapping[str, str]) -> str:
        container = self.create(pod, name, image_name, *command, **options)  # type: ignore[arg-type]
        self.start(container)
        return container

    def stop(self, container: str, *, seconds: int = 0) -> None:
        request = pb.StopContainerRequest(container_id=container, timeout=seconds)
        self.runtime.StopContainer(request, timeout=PATIENCE)

    def remove(self, container: str) -> None:
        self.runtime.RemoveContainer(pb.RemoveContainerRequest(container_id=container), timeout=PATIENCE)

    def status(self, container: str) -> pb.ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container)
        return self.runtime.ContainerStatus(request, timeout=PATIENCE).status

    def pod_status(self, pod: Pod) -> pb.PodSandboxStatus:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=pod.id)
        return self.runtime.PodSandboxStatus(request, timeout=PATIENCE).status

    def execute(self, container: str, command: Sequence[str], *, seconds: int = 30) -> tuple[int, bytes, bytes]:
        """ExecSync: exit status, standard output, standard error."""
        request = pb.ExecSyncRequest(container_id=container, cmd=command, timeout=seconds)
        done = self.runtime.ExecSync(request, timeout=PATIENCE)
        return done.exit_code, done.stdout, done.stderr

    def update(self, container: str, *, memory_limit: int) -> None:
        resources = pb.LinuxContainerResources(memory_limit_in_bytes=memory_limit)
        request = pb.UpdateContainerResourcesRequest(container_id=container, linux=resources)
        self.runtime.UpdateContainerResources(request, timeout=PATIENCE)

    def stats(self, container: str) -> pb.ContainerStats:
        request = pb.ContainerStatsRequest(container_id=container)
        return self.runtime.ContainerStats(request, timeout=PATIENCE).stats

    def stats_of_all(self, pod: Pod) -> list[pb.ContainerStats]:
        """ListContainerStats of the pod's containers."""
        request = pb.ListContainerStatsRequest(filter=pb.ContainerStatsFilter(pod_sandbox_id=pod.id))
        return list(self.runtime.ListContainerStats(request, timeout=PATIENCE).stats)

    def pod_stats(self, pod: Pod) -> pb.PodSandboxStats:
        request = pb.PodSandboxStatsRequest(pod_sandbox_id=pod.id)
        return self.runtime.PodSandboxStats(request, timeout=PATIENCE).stats

    def exec_stream(self, container: str, *command: str, tty: bool = False) -> Stream:
        """Exec, with all streams."""
        request = pb.ExecRequest(container_id=container, cmd=command, tty=tty, stdin=True, stdout=True, stderr=not tty)
        return Stream(self.runtime.Exec(request, timeout=PATIENCE).url)

    def attach(self, container: str, *, tty: bool = False) -> Stream:
        """Attach to a container that was created with stdin, with all streams."""
        request = pb.AttachRequest(container_id=container, stdin=True, tty=tty, stdout=True, stderr=not tty)
        return Stream(self.runtime.Attach(request, timeout=PATIENCE).url)

    def forward(self, pod: Pod, port: int) -> Stream:
        """PortForward: what is sent goes to that port, what comes from there is on the channel DATA.

        The first two bytes of each channel, which the plug-in sends first, are the port's number.
        """
        request = pb.PortForwardRequest(pod_sandbox_id=pod.id, port=[port])
        return Stream(self.runtime.PortForward(request, timeout=PATIENCE).url)

    def containers(self) -> list[str]:
        return [each.id for each in self.runtime.ListContainers(pb.ListContainersRequest()).containers]

    def pods(self) -> list[str]:
        return [each.id for each in self.runtime.ListPodSandbox(pb.ListPodSandboxRequest()).items]
