"""The memory template: what is given back is what can be read again, and the zygote never sees what the model teaches.

Each scenario is a process of its own, since it maps all its memory anew.
"""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.harness.paths import PYTHON
from tests.harness.patience import PATIENCE
from tests.harness.process import all_processes, wait_until
from tests.harness.zygote import Zygote

PRELUDE = """
import ctypes, mmap, os, socket
from pathlib import Path
from zygote.memory import MemoryTemplate, TemplateError

PAGES = 256
SIZE = PAGES * 4096
space = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE)
start = ctypes.addressof(ctypes.c_char.from_buffer(space))
space[:] = b"z" * SIZE


def own_pages():
    "How many of the pages of `space` are this process's own."
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(start // 4096 * 8)
        entries = memoryview(pagemap.read(PAGES * 8)).cast("Q")
        return sum(bool(entry >> 63 and not entry >> 61 & 1) for entry in entries)


def mapped_pages():
    "How many of the pages of `space` this process has in its page table."
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(start // 4096 * 8)
        return sum(bool(entry >> 63) for entry in memoryview(pagemap.read(PAGES * 8)).cast("Q"))


def child(act):
    "Run `act` in a child; it must return."
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def run_model(act):
    "What fork_model does."
    if os.fork() == 0:
        try:
            memory.be_model()
            act()
            memory.settle()
        finally:
            os._exit(1)
    return True


memory = MemoryTemplate()
memory.install()
drivers, driver = socket.socketpair()
"""


def run(scenario: str) -> str:
    text = PRELUDE + textwrap.dedent(scenario)
    done = subprocess.run([PYTHON, "-I", "-c", text], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_changes_by_installing_and_giving_back() -> None:
    run("""
        assert own_pages() == 0 and space[:] == b"z" * SIZE
        space[4096:8192] = b"a" * 4096
        memory.settle()
        assert own_pages() == 1 and space[:] == b"z" * 4096 + b"a" * 4096 + b"z" * (SIZE - 8192)
        space[:] = b"b" * SIZE
        space[:] = b"z" * SIZE
        assert own_pages() == PAGES
        memory.settle()
        assert own_pages() == 0 and space[:] == b"z" * SIZE
    """)


def test_children_share_what_the_model_teaches() -> None:
    run("""
        def change():
            space[: SIZE // 2] = b"m" * (SIZE // 2)

        memory.learn(lambda: run_model(change), driver, is_waiting=lambda: None, is_teachable=lambda: True)
        assert space[:] == b"z" * SIZE, "the zygote's own memory is as it was"

        def live():
            assert space[:] == b"z" * SIZE
            change()
            space[-1] = 1
            memory.settle()
            assert own_pages() == 1, own_pages()
            assert space[:-1] == b"m" * (SIZE // 2) + b"z" * (SIZE // 2 - 1) and space[-1] == 1
            space[0] = 2
            assert space[:2] == b"\\x02m"

        for _ in range(2):
            child(live)
        assert space[:] == b"z" * SIZE
    """)


def test_the_model_tells_where_it_has_written_the_same_again() -> None:
    run("""
        def change():
            space[:4096] = b"m" * 4096
            space[4096 : 3 * 4096] = b"z" * (2 * 4096)

        told = memory.learn(lambda: run_model(change), driver, is_waiting=lambda: None, is_teachable=lambda: True)
        inside = [(page - start) // 4096 for page in told if start <= page < start + SIZE]
        assert inside == [1, 2], inside
        assert told == sorted(told)
    """)


def test_a_process_at_rest_maps_nothing_that_it_has_not_changed() -> None:
    run("""
        assert space[:] == b"z" * SIZE
        space[:4096] = b"a" * 4096
        assert mapped_pages() == PAGES
        memory.settle()
        assert mapped_pages() == own_pages() == 1
        assert space[:] == b"a" * 4096 + b"z" * (SIZE - 4096)
    """)


def test_the_model_teaches_when_it_may() -> None:
    run("""
        may = mmap.mmap(-1, 1)

        def act():
            memory.wait()
            memory.settle()  # not yet: returns
            space[:4096] = b"m" * 4096
            may[0] = 1

        told, tell = socket.socketpair()
        memory.learn(
            lambda: run_model(act), driver, is_waiting=lambda: tell.send(b"w"), is_teachable=lambda: may[0] == 1
        )
        assert told.recv(1) == b"w"

        def live():
            space[:4096] = b"m" * 4096
            memory.settle()
            assert own_pages() == 0, own_pages()

        child(live)
    """)


def test_nobody_can_write_to_the_template_after_the_lesson() -> None:
    run("""
        memory.learn(lambda: run_model(lambda: None), driver, is_waiting=lambda: None, is_teachable=lambda: True)
        (file,) = [fd.name for fd in Path("/proc/self/fd").iterdir() if "shim-memory-template" in str(fd.resolve())]
        for attempt in (lambda: os.pwrite(int(file), b"x", 0), lambda: os.ftruncate(int(file), 0)):
            try:
                attempt()
            except PermissionError:
                continue
            raise AssertionError("it could be written to")
    """)


@pytest.mark.parametrize(
    ("fork_model", "words"),
    [
        ("lambda: False", "not been called"),
        ("lambda: run_model(lambda: os._exit(1))", "not come to rest"),
        ("lambda: bool(drivers.close()) or True", "not come to rest"),
    ],
)
def test_a_model_that_fails_does_no_harm(fork_model: str, words: str) -> None:
    told = run(f"""
        try:
            memory.learn({fork_model}, driver, is_waiting=lambda: None, is_teachable=lambda: True)
        except TemplateError as error:
            print(error)

        def live():
            space[:] = b"a" * SIZE
            memory.settle()
            assert space[:] == b"a" * SIZE

        child(live)
        assert space[:] == b"z" * SIZE
    """)
    assert words in told


def test_nothing_is_given_back_beside_a_thread() -> None:
    """It could write to a page that has been compared already."""
    run("""
        import threading

        space[:] = b"b" * SIZE
        space[:] = b"z" * SIZE
        end = threading.Event()
        threading.Thread(target=end.wait).start()
        memory.settle()
        assert own_pages() == PAGES
        end.set()
        threading.enumerate()[-1].join()
        memory.settle()
        assert own_pages() == 0
    """)


def test_signals_wait_while_memory_is_given_back() -> None:
    run("""
        import signal

        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(blocked()))

        def blocked():
            return signal.pthread_sigmask(signal.SIG_BLOCK, [])

        class Library:
            def template_give_back(self, template):
                os.kill(os.getpid(), signal.SIGUSR1)
                assert signal.SIGUSR1 in blocked() and not seen
                return 0

        memory._library = Library()
        memory.settle()
        assert seen == [set()]
    """)


def test_memory_that_was_mapped_anew_meanwhile_is_not_lost() -> None:
    """An allocator may give addresses back and get plain memory there, which accidentally has the same content."""
    run("""
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        # MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
        assert libc.mmap(start, 4096, 3, 0x32, -1, 0) == start
        space[:4096] = b"z" * 4096
        memory.settle()
        assert space[:] == b"z" * SIZE
    """)


@pytest.mark.skipif(os.geteuid() != 0, reason="the model listens in /run/containerd")
def test_a_zygote_removes_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with Zygote("shim", tmp_path / "z") as zygote:
        assert zygote.complaints() == ""

        def children() -> set[str]:
            return {info.name for info in all_processes().values() if info.parent == zygote.process.pid}

        assert wait_until(lambda: children() == {"teemate-spare"}), children()
        assert wait_until(lambda: not any(temporary.iterdir())), list(temporary.iterdir())


def test_the_models_container_ends_with_its_driver(tmp_path: Path) -> None:
    """Even if it was created and the zygote ended before it was started."""
    stay = """
        import shutil, socket, sys
        from pathlib import Path
        from zygote.model import _Driver

        ours, theirs = socket.socketpair()
        _Driver(Path(sys.argv[1]), ours)._lay_out()
        print("ready", flush=True)
        sys.stdin.read()
        # while its FIFOs are open: who is about to open one does not wait for ever
        shutil.rmtree(sys.argv[1], ignore_errors=True)
    """
    directory = tmp_path / "model"
    command = [PYTHON, "-c", textwrap.dedent(stay), directory]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdout and driver.stdin
        assert driver.stdout.readline() == b"ready\n"
        pid_file = tmp_path / "pid"
        root = directory / "root" / "teemate-model"
        create = [directory / "delegate", f"--root={root}", "create", f"--pid-file={pid_file}", "model"]
        subprocess.run(create, check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
        container = int(pid_file.read_text())
        assert container in all_processes()
        driver.stdin.close()
    assert wait_until(lambda: all_processes().get(container) is None or all_processes()[container].state == "Z")
