"""A guest with everything that a host has: Python, the daemon, teemate-runtime, runc, sqlite3, python3."""

from __future__ import annotations

from pathlib import Path

from teemate_runtime.launcher import script
from tests.harness.images import THREAD_EXIT, build_programs, program
from tests.harness.paths import BIN, LIBOS, MATE, ROOT, RUNC
from tests.harness.rootfs import RootFs

_PACKAGES = (
    "_cffi_backend.cpython-311-x86_64-linux-gnu.so",
    "_yaml",
    "click",
    "cryptography",
    "elftools",
    "google",
    "grpc",
    "grpc_health",
    "markdown_it",
    "mdurl",
    "psutil",
    "pygments",
    "rich",
    "typing_extensions.py",
    "yaml",
)
_SITE = Path("lib") / "python3.11" / "site-packages"


def files() -> RootFs:
    """The files, at the paths that they have here."""
    build_programs()
    fs = RootFs()
    for name in ("sqlite3", "python3.11"):
        fs.file(Path("/usr/bin") / name)
    fs.file(program("python3", "python"), "/usr/bin/python3")
    fs.tree(Path("/usr/lib/python3.11"))
    fs.file(THREAD_EXIT)
    fs.file(RUNC)
    for folder in ("enclave_host", "teemate_runtime", "protos", "zygote"):
        fs.tree(ROOT / folder)
    venv = BIN.parent
    for name in _PACKAGES:
        path = venv / _SITE / name
        if path.is_dir():
            fs.tree(path)
        elif path.exists():
            fs.file(path)
    fs.text(str(venv / "pyvenv.cfg"), (venv / "pyvenv.cfg").read_text())
    fs.link(str(BIN / "python"), "/usr/bin/python3.11")
    start = script(interpreter=Path("/usr/bin/python3.11"), packages=ROOT, library=ROOT / "build")
    fs.text(str(BIN / "teemate-runtime"), start, mode=0o755)
    fs.copy(LIBOS, str(ROOT / "build" / "libos.elf"))
    fs.copy(MATE, str(ROOT / "build" / "mate"))
    fs.file(Path(__file__).with_name("guest_stack.py"), "/t/guest_stack.py")
    for folder in ("/containers/rootfs", "/new", "/run", "/var/lib"):
        fs.directory(folder)
    return fs
