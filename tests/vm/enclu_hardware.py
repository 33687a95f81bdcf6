"""What a guest needs to run the mate of SGX hardware over emulated ENCLU, and the programs that it runs with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enclave_host.blueprint import EnclaveLayout
from enclave_host.config import PoolConfig

POOL = PoolConfig(name="default", trust_domain="default", compartments=1, threads=12, memory=256 << 20)
PLAN = EnclaveLayout.of_pool(POOL)
PROGRAMS = "/t/programs"  # in the guest

_SQL = """\
create table t(id integer primary key, word text);
with recursive n(i) as (select 1 union all select i+1 from n where i < 2000)
insert into t select i, printf('word %05d', i) from n;
select count(*), max(word) from t where word like '%7%';
"""
_PYTHON = """\
import hashlib, threading
seen = []
threads = [threading.Thread(target=lambda i=i: seen.append(hashlib.sha256(bytes([i]) * 10000).hexdigest()))
           for i in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print("threads", len(set(seen)))
"""
# By name; each has to print what it prints without an enclave
COMMANDS: Mapping[str, Sequence[str]] = {
    "static": (f"{PROGRAMS}/musl-static/hello",),
    "musl": (f"{PROGRAMS}/musl-dynamic/hello",),
    "glibc": (f"{PROGRAMS}/glibc-dynamic/hello",),
    "mappings": (f"{PROGRAMS}/glibc-dynamic/mappings",),
    "threads": (f"{PROGRAMS}/glibc-dynamic/threads",),
    "sqlite3": ("/usr/bin/sqlite3", ":memory:", _SQL),
    "python3": (f"{PROGRAMS}/python/python3", "-I", "-S", "-c", _PYTHON),
}
