"""Real work, inside against native: sqlite with 200,000 rows and a Python that computes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.figures import Suite, compare
from bench.spawn import inside, native
from tests.harness.images import build_programs, program
from tests.harness.stack import Stack

ROUNDS = 11
TARGET = 1.1
SQL = """
create table m(i integer primary key, s text, v real);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
insert into m select i, 'station ' || (i % 97), (i * 7919 % 100003) / 10.0 from n;
commit;
create index by_station on m(s, v);
select s, count(*), round(sum(v), 1) from m group by s order by 3 desc limit 3;
select count(*) from m a join m b on b.i = a.i + 1 where a.v > b.v;
"""
PYTHON_WORK = """
def primes(limit):
    sieve = bytearray([1]) * (limit + 1)
    for n in range(2, int(limit ** 0.5) + 1):
        if sieve[n]:
            sieve[n * n::n] = bytes(len(range(n * n, limit + 1, n)))
    return sum(sieve) - 2
total = 0
for n in range(4000000):
    total = (total * 31 + n) % 1000003
words = {}
for n in range(800000):
    words[str(n % 5003)] = words.get(str(n % 5003), 0) + n
print(primes(4000000), total, len(words))
"""


def run() -> Suite:
    build_programs()
    python = str(program("python3", "python"))
    with tempfile.TemporaryDirectory(prefix="teemate-bench-") as directory, Stack(with_containers=False) as stack:
        database = Path(directory) / "db"

        def on_file(where: str) -> float:
            database.unlink(missing_ok=True)
            command = ["/usr/bin/sqlite3", str(database), SQL]
            return (native(command) if where == "native" else inside(stack.hostd, command)).total_ms

        memory = ["/usr/bin/sqlite3", ":memory:", SQL]
        compute = [python, "-I", "-c", PYTHON_WORK]
        sources = (
            ("sqlite3, 200,000 rows in memory", lambda: native(memory).total_ms,
             lambda: inside(stack.hostd, memory).total_ms),
            ("sqlite3, 200,000 rows in a file", lambda: on_file("native"), lambda: on_file("inside")),
            ("python3, computing", lambda: native(compute).total_ms, lambda: inside(stack.hostd, compute).total_ms),
        )  # fmt: skip
        figures = [
            compare(name, unit="ms", rounds=ROUNDS, baseline=("native", outside), measured=("inside", within),
                    target=TARGET)
            for name, outside, within in sources
        ]  # fmt: skip
    return Suite(name="work", title="Real work", figures=figures)
