"""Exits are never lost, however early or late somebody asks."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from shim.reaper import Exit, Reaper


def spawn(script: str) -> int:
    return os.posix_spawn("/bin/sh", ["sh", "-c", script], os.environ)


def test_an_exit_before_anybody_asks() -> None:
    async def scenario() -> Exit:
        reaper = Reaper()
        reaper.start(asyncio.get_running_loop())
        pid = spawn("exit 3")
        other = spawn("exit 0")
        await reaper.exit_of(other)
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)
        return await reaper.exit_of(pid)

    assert asyncio.run(scenario()).status == 3


def test_an_exit_that_is_waited_for() -> None:
    async def scenario() -> list[int]:
        reaper = Reaper()
        reaper.start(asyncio.get_running_loop())
        pids = [spawn(f"exit {number}") for number in range(20)]
        exits = [await reaper.exit_of(pid) for pid in pids]
        assert [each.pid for each in exits] == pids
        assert all(each.time_ns > 0 for each in exits)
        return [each.status for each in exits]

    assert asyncio.run(scenario()) == list(range(20))


def test_a_signal_is_128_and_its_number() -> None:
    async def scenario() -> int:
        reaper = Reaper()
        reaper.start(asyncio.get_running_loop())
        pid = spawn("kill -KILL $$")
        return (await reaper.exit_of(pid)).status

    assert asyncio.run(scenario()) == 128 + signal.SIGKILL


def test_what_ended_before_the_start_is_collected() -> None:
    async def scenario() -> int:
        pid = spawn("exit 5")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        reaper = Reaper()
        reaper.start(asyncio.get_running_loop())
        return (await reaper.exit_of(pid)).status

    assert asyncio.run(scenario()) == 5


def test_exits_that_nobody_asks_for_do_not_pile_up() -> None:
    from shim import reaper as module

    async def scenario() -> int:
        reaper = Reaper()
        for number in range(module.UNCLAIMED_MAX + 100):
            reaper._deliver(Exit(pid=number + 2, status=0, time_ns=1))
        return len(reaper._unclaimed)

    assert asyncio.run(scenario()) == module.UNCLAIMED_MAX


def test_a_pid_that_is_used_again() -> None:
    """What an orphan of some container left under it is not the exit of the process that has it now."""

    async def scenario() -> list[int]:
        reaper = Reaper()
        reaper._deliver(Exit(pid=4711, status=9, time_ns=1))
        before = reaper.count
        exit_of_new = reaper.exit_of(4711, since=before)
        assert not exit_of_new.done()
        reaper._deliver(Exit(pid=4711, status=0, time_ns=2))
        reaper._deliver(Exit(pid=4712, status=3, time_ns=3))
        return [(await exit_of_new).status, (await reaper.exit_of(4712, since=before)).status]

    assert asyncio.run(scenario()) == [0, 3]
