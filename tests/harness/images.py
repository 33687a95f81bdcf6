"""Container images made of this machine's packages: no registry is asked for anything.

Each image is a docker archive under build/images, named after its content, which both `docker load`
and `ctr images import` take.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.harness.elf import runtime_files
from tests.harness.paths import BUILD, PROGRAMS
from tests.harness.process import HarnessError, clean_environment
from tests.harness.rootfs import RootFs

IMAGES = BUILD / "images"
PROGRAM_BUILD = BUILD / "programs"
PREFIX = "docker.io/teemate"
# glibc loads it by name when a thread ends by pthread_exit
THREAD_EXIT = Path("/lib/x86_64-linux-gnu/libgcc_s.so.1")


def build_programs() -> Path:
    """Compile tests/programs. Returns the folder that holds one folder for each kind of linking."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", str(PROGRAMS), f"BUILD={PROGRAM_BUILD}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    if done.returncode:
        raise HarnessError(f"tests/programs do not build\n{done.stdout}{done.stderr}")
    return PROGRAM_BUILD


def program(name: str, kind: str = "glibc-dynamic") -> Path:
    """A compiled test program as a file of this machine."""
    return PROGRAM_BUILD / kind / name


def _programs(fs: RootFs) -> None:
    for kind in sorted(PROGRAM_BUILD.iterdir()):
        if kind.is_dir() and kind.name != "python":
            for path in sorted(kind.glob("[!.]*")):
                put = fs.copy if kind.name == "broken" else fs.file
                put(path, f"/programs/{kind.name}/{path.name}")
    fs.file(THREAD_EXIT)
    fs.text("/programs/script.sh", "#!/programs/glibc-dynamic/arguments from-the-script\nnot read\n", mode=0o755)


def _busybox(fs: RootFs) -> None:
    binary = busybox()
    fs.file(binary, "/bin/busybox")
    for applet in subprocess.run([str(binary), "--list"], capture_output=True, text=True).stdout.split():
        if applet != "busybox":
            fs.link(f"/bin/{applet}", "busybox")


def _lua(fs: RootFs) -> None:
    fs.file(Path("/usr/bin/lua5.4"))


def _sqlite(fs: RootFs) -> None:
    fs.file(Path("/usr/bin/sqlite3"))


def _perl(fs: RootFs) -> None:
    fs.file(Path("/usr/bin/perl"))
    fs.tree(Path("/usr/lib/x86_64-linux-gnu/perl-base"))


def _python(fs: RootFs) -> None:
    fs.file(program("python3", "python"), "/usr/bin/python3")
    fs.tree(Path("/usr/lib/python3.11"))
    fs.file(THREAD_EXIT)
    fs.file(Path("/usr/lib/ssl/openssl.cnf"), "/usr/lib/ssl/openssl.cnf")


def _pause(fs: RootFs) -> None:
    fs.copy(program("pause", "musl-static"), "/pause")


RECIPES: dict[str, Callable[[RootFs], None]] = {
    "programs": _programs,
    "busybox": _busybox,
    "lua": _lua,
    "sqlite": _sqlite,
    "perl": _perl,
    "python": _python,
    "pause": _pause,
}
# What an image runs when no command is given; only a pod's first container is started like that.
ENTRY_POINTS = {"pause": ["/pause"]}


@dataclass(frozen=True)
class Image:
    name: str  # as `docker run` and `ctr run` take it
    archive: Path


def busybox() -> Path:
    """Debian's dynamically linked busybox, a PIE: the installed one, or unpacked here beside busybox-static."""
    installed = Path("/bin/busybox")
    if installed.exists() and list(runtime_files(installed)):
        return installed
    download = BUILD / "packages"
    binary = download / "busybox" / "bin" / "busybox"
    if not binary.exists():
        download.mkdir(parents=True, exist_ok=True)
        fetch = "apt-get download -qq -o APT::Sandbox::User=root busybox"
        script = f"{fetch} || {{ apt-get update -qq && {fetch}; }} && dpkg-deb -x busybox_*.deb busybox"
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=download,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=clean_environment(),
        )
        if done.returncode:
            raise HarnessError(f"busybox cannot be had: {done.stdout}{done.stderr}")
    return binary


def image(name: str) -> Image:
    """Build the image unless an archive with the same content is there."""
    build_programs()
    fs = RootFs()
    RECIPES[name](fs)
    reference = f"{PREFIX}/{name}:latest"
    archive = IMAGES / f"{name}-{fs.digest()[:16]}.tar"
    if not archive.exists():
        IMAGES.mkdir(parents=True, exist_ok=True)
        for old in IMAGES.glob(f"{name}-*.tar"):
            old.unlink()
        partial = archive.with_suffix(".partial")
        _write_archive(partial, reference=reference, layer=fs.layer(), entry_point=ENTRY_POINTS.get(name, []))
        partial.rename(archive)
    return Image(name=reference, archive=archive)


def unpack(made: Image, directory: Path) -> None:
    """The image's root file system as files."""
    with tarfile.open(made.archive) as outer:
        (name,) = (member.name for member in outer.getmembers() if member.name.endswith("/layer.tar"))
        layer = outer.extractfile(name)
        assert layer
        directory.mkdir()
        subprocess.run(["tar", "-x", "-C", str(directory)], input=layer.read(), check=True, env=clean_environment())


def _write_archive(path: Path, *, reference: str, layer: bytes, entry_point: list[str]) -> None:
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "WorkingDir": "/",
                **({"Entrypoint": entry_point} if entry_point else {}),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    manifest = json.dumps(
        [
            {
                "Config": f"{hashlib.sha256(config).hexdigest()}.json",
                "RepoTags": [reference.removeprefix("docker.io/")],
                "Layers": [f"{digest}/layer.tar"],
            }
        ]
    ).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in (
            (f"{digest}/layer.tar", layer),
            (f"{hashlib.sha256(config).hexdigest()}.json", config),
            ("manifest.json", manifest),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
