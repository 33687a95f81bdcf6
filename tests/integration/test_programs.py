"""Unmodified programs: the same output and exit status as with plain runc."""

from __future__ import annotations

import pytest

from tests.harness.stack import Stack
from tests.integration.comparison import assert_same, native, protected

KINDS = ("glibc-dynamic", "glibc-static", "musl-dynamic", "musl-static")
LIBRARIES = ("glibc-dynamic", "musl-static")

LUA = """
local t = {}
for i = 1, 20000 do t[i] = string.format('%d:%s', i, string.rep('x', i % 13)) end
table.sort(t)
local f = assert(io.open('/tmp/out', 'w')); f:write(table.concat(t, '\\n')); f:close()
local n = 0; for line in io.lines('/tmp/out') do n = n + #line end
print(_VERSION, n, coroutine.wrap(function() coroutine.yield(42) end)())
"""

SQL = """
create table t(i integer primary key, name text, value real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, 'row ' || i, i * 0.5 from n;
create index by_value on t(value);
select count(*), sum(value), max(name) from t where value between 100 and 5000;
pragma integrity_check;
"""

PERL = """
use strict; use warnings; use List::Util qw(sum); use POSIX qw(floor);
my %h = map { $_ => $_ ** 2 } 1 .. 1000;
open(my $f, '>', '/tmp/p') or die; print $f "$_ $h{$_}\\n" for sort { $a <=> $b } keys %h; close $f;
open($f, '<', '/tmp/p') or die; my $lines = 0; $lines++ while <$f>;
local $SIG{ALRM} = sub { die "alarm\\n" }; eval { alarm 1; select(undef, undef, undef, 10) }; print $@;
print sum(values %h), " $lines ", floor(3.7), " ", join(',', 'a1b22' =~ /(\\d+)/g), "\\n";
"""

PYTHON = """
import ctypes, hashlib, json, os, sqlite3, ssl, sys, threading, zlib
document = {'numbers': list(range(1000)), 'text': 'grün ' * 50}
assert json.loads(json.dumps(document)) == document
total, lock = [0], threading.Lock()
def work(n):
    for _ in range(200):
        with lock:
            total[0] += n
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
context = ssl.create_default_context()
libc = ctypes.CDLL('libc.so.6')
numbers = (ctypes.c_int * 5)(5, 3, 1, 4, 2)
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc.qsort(numbers, 5, 4, compare(lambda a, b: a[0] - b[0]))
with sqlite3.connect('/tmp/db') as db:
    db.execute('create table t(x)'); db.executemany('insert into t values (?)', [(i,) for i in range(1000)])
print(total, list(numbers), context.verify_mode, db.execute('select sum(x) from t').fetchone(),
      hashlib.sha256(zlib.compress(b'x' * 10000)).hexdigest(), len(os.urandom(32)), sys.version)
sys.exit(17)
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", ["hello", "threads"])
def test_every_way_of_linking(tidy: Stack, kind: str, program: str) -> None:
    seen = assert_same(tidy, "programs", f"/programs/{kind}/{program}")
    assert seen.status == 0 and seen.output


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("program", ["files", "pipes", "sockets", "mappings", "file_mappings", "clocks"])
def test_system_call_families(tidy: Stack, library: str, program: str) -> None:
    seen = assert_same(tidy, "programs", f"/programs/{library}/{program}")
    assert seen.status == 0 and b"good" in seen.output


@pytest.mark.parametrize(
    ("library", "program"),
    [
        ("glibc-dynamic", "sys_io"),
        *((library, program) for library in LIBRARIES for program in ("sys_wait", "sys_net", "sys_self", "sys_ipc")),
    ],
)
def test_system_calls_one_by_one(tidy: Stack, library: str, program: str) -> None:
    """Each prints the results of the calls of one family."""
    seen = assert_same(tidy, "programs", f"/programs/{library}/{program}")
    assert seen.status == 0 and seen.output.count(b"\n") > 30


def test_execve(tidy: Stack) -> None:
    """As natively, and the LibOS says why it refuses a program, which a kernel would not."""
    command = "/programs/glibc-dynamic/sys_exec"
    expected, seen = native(tidy, "programs", (command,)), protected(tidy, "programs", [command])
    assert (seen.status, seen.output) == (expected.status, expected.output)
    assert seen.status == 0 and b"truncated" in seen.errors


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_program_is_started_with(tidy: Stack, library: str) -> None:
    options = ("--env=COLOUR=blue", "--env=EMPTY=", "--workdir=/home/user", "--user=1000:1000")
    seen = assert_same(tidy, "programs", f"/programs/{library}/arguments", "one", "", "drei ü", "-x", options=options)
    assert b"env COLOUR=blue" in seen.output and b"uid=1000" in seen.output and b"argv[2]=\n" in seen.output


def test_script(tidy: Stack) -> None:
    seen = assert_same(tidy, "programs", "/programs/script.sh", "argument")
    assert b"argv[1]=from-the-script" in seen.output


def test_program_found_in_path(tidy: Stack) -> None:
    assert_same(tidy, "lua", "lua5.4", "-v")


def test_standard_input(tidy: Stack) -> None:
    text = b"".join(b"line %d\n" % number for number in range(20000))
    seen = assert_same(tidy, "busybox", "sort", "-r", stdin=text)
    assert len(seen.output) == len(text)


@pytest.mark.parametrize(
    "command",
    [
        ("echo", "busybox"),
        ("ls", "-la", "/bin/busybox", "/etc/passwd"),
        ("md5sum", "/bin/busybox"),
        ("find", "/etc", "-type", "f", "-maxdepth", "1"),
        ("awk", "BEGIN { for (i = 0; i < 10000; i++) s += i; print s }"),
        ("sh", "-c", "x=1; while [ $x -lt 2000 ]; do x=$((x + 1)); done; echo $x; cd /tmp && pwd; exit 9"),
        ("id",),
        ("uname", "-srm"),
    ],
    ids=lambda command: command[0],
)
def test_busybox(tidy: Stack, command: tuple[str, ...]) -> None:
    assert_same(tidy, "busybox", *command)


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("lua", ("lua5.4", "-e", LUA)),
        ("sqlite", ("sqlite3", "/tmp/test.db", SQL)),
        ("perl", ("perl", "-e", PERL)),
        ("python", ("python3", "-c", PYTHON)),
    ],
    ids=["lua", "sqlite", "perl", "python"],
)
def test_interpreters(tidy: Stack, image: str, command: tuple[str, ...]) -> None:
    seen = assert_same(tidy, image, *command)
    assert seen.status == (17 if image == "python" else 0)


def test_dedicated_pool(tidy: Stack) -> None:
    """The conventional way: an enclave of its own for each container."""
    seen = assert_same(tidy, "python", "python3", "-c", "print(sum(range(10)))", runtime="teemate-conventional")
    assert seen.output == b"45\n"


def test_pool_memory_limit_is_felt_as_enomem(tidy: Stack) -> None:
    command = ("/programs/glibc-dynamic/memory_hog", "1000")
    seen = protected(tidy, "programs", command, runtime="teemate-small")
    assert seen.output == b"refused\n"


def test_too_few_threads_names_the_setting(tidy: Stack) -> None:
    seen = protected(tidy, "programs", ("/programs/glibc-dynamic/threads",), runtime="teemate-small")
    assert seen.status == 1
    assert b"pthread_create" in seen.errors
    assert b"`threads`" in seen.errors
