"""The main job: sixteen unmodified programs that work on real input and then hold what they have."""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 200_000
STARTED, DONE = b"started\n", b"done\n"

_SQL = f"""
select 'started';
create table measurement(id integer primary key, station text, value real, note text);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
insert into measurement select i, 'station ' || (i % 97), (i * 7919 % 100003) / 10.0, 'note ' || i from n;
commit;
create index by_station on measurement(station, value);
select count(*), round(avg(value), 3), max(note) from measurement;
select station, count(*), round(sum(value), 1) from measurement group by station order by 3 desc limit 3;
select count(*) from measurement a join measurement b on b.id = a.id + 1 where a.value > b.value;
select 'done';
"""

_PYTHON = """
print('started')
import hashlib, json, ssl, sys, threading
documents = [{'number': n, 'text': 'grün %d' % n, 'list': list(range(n % 50))} for n in range(3000)]
assert json.loads(json.dumps(documents)) == documents
digests = {}
def work(n):
    digest = hashlib.sha256()
    for document in documents[n::8]:
        digest.update(json.dumps(document, sort_keys=True).encode())
    digests[n] = digest.hexdigest()
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
context = ssl.create_default_context()
ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
try:
    context.wrap_bio(theirs, ours, server_hostname='example.org').do_handshake()
except ssl.SSLWantReadError:
    print('client hello of', ours.pending > 200, context.minimum_version.name)
print(hashlib.sha256(''.join(digests[n] for n in range(8)).encode()).hexdigest())
print('done', flush=True)
sys.stdin.read()
"""

_LUA = """
io.stdout:setvbuf('no') print('started')
local words = {}
for i = 1, 100000 do local w = 'w' .. (i * 7919 % 5003) words[w] = (words[w] or 0) + 1 end
local keys = {} for k in pairs(words) do keys[#keys + 1] = k end table.sort(keys)
print(#keys, keys[1], keys[#keys], words[keys[17]]) print('done') io.read('a')
"""

_PERL = """
use strict; use warnings; use List::Util qw(sum max); $| = 1; print "started\\n";
my %seen; $seen{$_ * 7919 % 5003} += $_ for 1 .. 100000;
my $text = join ' ', map { "k$_" } sort { $a <=> $b } keys %seen; my $count = () = $text =~ /k\\d*7\\b/g;
print sum(values %seen), ' ', max(values %seen), " $count\\n"; print "done\\n"; 1 while <STDIN>;
"""

_SHELL = """
echo started
i=0; s=0; while [ $i -lt 20000 ]; do i=$((i + 1)); s=$((s + i * i % 7)); done; echo $s; echo done; read x; exit 0
"""


@dataclass(frozen=True)
class Job:
    """One container. It prints `started`, does its work, prints `done`, and ends when its input does."""

    name: str
    image: str
    command: tuple[str, ...]
    stdin: bytes = b""


def _threads(library: str) -> Job:
    return Job(f"threads ({library})", "programs", (f"/programs/{library}/threads_hold",))


JOBS: tuple[Job, ...] = (
    *(Job("sqlite3, 200,000 rows in a file", "sqlite", ("sqlite3", "/tmp/demo.db"), _SQL.encode()),) * 2,
    *(Job("sqlite3, 200,000 rows in memory", "sqlite", ("sqlite3", ":memory:"), _SQL.encode()),) * 2,
    *(Job("python3: json, ssl, threads", "python", ("python3", "-u", "-c", _PYTHON)),) * 4,
    *(Job("lua5.4", "lua", ("lua5.4", "-e", _LUA)),) * 2,
    *(Job("perl", "perl", ("perl", "-e", _PERL)),) * 2,
    *(Job("busybox sh", "busybox", ("sh", "-c", _SHELL)),) * 2,
    _threads("glibc-dynamic"),
    _threads("musl-static"),
)
