"""The daemon: puts the parts together, starts and stops them."""

import asyncio
import fcntl
import importlib
import logging
import os
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from enclave_host.attach_server import AttachServer
from enclave_host.builder import EnclaveBuilder
from enclave_host.config import Config, PoolConfig
from enclave_host.cpuid import host_cpuid_table
from enclave_host.errors import HostError
from enclave_host.events import EventLog
from enclave_host.image import ImageError, load_image
from enclave_host.janitor import Janitor
from enclave_host.journal import Journal
from enclave_host.lease_manager import LeaseManager
from enclave_host.lending import Lender
from enclave_host.pool import Pool
from enclave_host.pool_registry import PoolRegistry
from enclave_host.preparer import preparing
from enclave_host.providers.choice import choose_provider
from enclave_host.recovery import Recovery
from enclave_host.restart import adopt_leases
from enclave_host.signing_key import load_signing_key
from enclave_host.zygote import Zygote

if TYPE_CHECKING:
    from enclave_host.api import ApiServer

BUILD_WORKERS = 2

_log = logging.getLogger(__name__)


class Daemon:
    """Everything that lives as long as the daemon. Constructed and used inside its loop."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock_fd = _prepare_directories(config)
        try:
            image = load_image(config.image)
        except ImageError as error:
            raise HostError(str(error)) from error
        if not os.access(config.mate, os.X_OK):
            raise HostError(f"{config.mate}: no executable mate there; run `make build` or set `mate`")
        self.provider = choose_provider(config.provider, image)
        _log.info("provider of EPC pages: %s", self.provider.name)
        key = load_signing_key(configured=config.signing_key, state_directory=config.state_directory)
        self.builder = EnclaveBuilder(image=image, key=key, provider=self.provider)
        self.journal = Journal(config.state_directory / "journal")
        self.events = EventLog()
        self.janitor = Janitor(config.mate)
        self.pools = PoolRegistry(journal=self.journal, events=self.events, make_pool=self._make_pool)
        self._workers = ThreadPoolExecutor(BUILD_WORKERS, thread_name_prefix="build")
        lender = Lender(self.provider, cpuid_table=host_cpuid_table(config.mate))
        self._prepare = preparing(janitor=self.janitor, lender=lender)
        recovery = Recovery(janitor=self.janitor, lender=lender, events=self.events)
        self.leases = LeaseManager(
            pools=self.pools, lender=lender, recovery=recovery, journal=self.journal, events=self.events
        )
        self.attach_server = AttachServer(config.run_directory / "attach.sock", self.leases)
        programs = ("shim", "runtime") if config.zygote else ()
        self.zygotes = [Zygote(program, config.run_directory) for program in programs]
        self._api: ApiServer | None = None

    def start(self) -> None:
        """Adopt, listen, and begin to build."""
        if not self.provider.gives_confidentiality:
            _log.warning(
                "SOFTWARE MODEL OF SGX: enclaves are ordinary memory here. It gives NO confidentiality and no "
                "integrity against this host. Use it to develop and to measure, never for secrets."
            )
        self.pools.load(self.config)
        adopt_leases(journal=self.journal, pools=self.pools, leases=self.leases, provider=self.provider)
        self.janitor.start()
        self.attach_server.start()
        for pool in self.pools.pools.values():
            pool.start()
        for zygote in self.zygotes:
            zygote.start()

    async def start_api(self) -> None:
        """Serve host.sock. Importing gRPC takes longer than all the rest: not before attach.sock is served."""
        # The daemon forks only to exec the janitor: gRPC need not prepare for it, nor complain.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        api = await asyncio.to_thread(importlib.import_module, "enclave_host.api")
        self._api = api.ApiServer(self.config.run_directory / "host.sock", self)
        await self._api.start()

    async def stop(self) -> None:
        """Stop serving. Containers live on; the next daemon adopts their leases."""
        if self._api is not None:
            await self._api.stop()
        for zygote in self.zygotes:
            zygote.close()
        self.attach_server.close()
        self.janitor.close()
        self.leases.close()
        for pool in self.pools.pools.values():
            pool.close()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self.journal.close()
        os.close(self._lock_fd)

    def _make_pool(self, config: PoolConfig) -> Pool:
        return Pool(
            config,
            builder=self.builder,
            workers=self._workers,
            events=self.events,
            next_enclave_id=self.journal.next_id,
            holders=self.leases.holders,
            prepare=self._prepare,
        )


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    daemon = Daemon(config)
    try:
        daemon.start()
        await daemon.start_api()
        _log.info("serving in %s", config.run_directory)
        _notify_service_manager()
        await stopped.wait()
    finally:
        _log.info("stopping; containers live on")
        await daemon.stop()


def _prepare_directories(config: Config) -> int:
    """Create the directories, and take the lock that keeps a second daemon out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for directory in (config.run_directory, config.state_directory):
        try:
            # 0700 is the gate of both sockets: gRPC cannot check its peers' credentials by itself.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        except OSError as error:
            raise HostError(f"{directory}: cannot be made: {error}; see run_directory and state_directory") from error
    fd = os.open(config.state_directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise HostError(f"another daemon uses {config.state_directory}; stop it, or set state_directory") from None
    return fd


def _notify_service_manager() -> None:
    """sd_notify(3)"""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.send(b"READY=1")
