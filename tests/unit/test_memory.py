"""The LibOS's memory code on random steps: what is mapped anew reads as zero, and the books are right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.native import compile_native, run_driver

SOURCES = (
    "memory.c",
    "memory_map.c",
    "memory_unmap.c",
    "memory_protect.c",
    "memory_table.c",
    "memory_lookup.c",
    "memory_erase.c",
    "memory_load.c",
    "memory_brk.c",
    "vma.c",
    "dirty_map.c",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_native(
        tmp_path_factory.mktemp("memory") / "memory_driver",
        driver=Path(__file__).parent / "native" / "memory_driver.c",
        sources=SOURCES,
    )


@pytest.mark.parametrize("host", ["honest", "refusing", "sgx"])
@pytest.mark.parametrize("seed", range(4))
def test_random_steps_against_a_model(driver: Path, host: str, seed: int) -> None:
    """Whether or not the host takes pages back that are trimmed, nothing old is ever read."""
    done = subprocess.run([driver, host, str(seed), "1200"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_child_killed_in_a_change_of_the_table(tmp_path: Path) -> None:
    run_driver("table_death_driver", directory=tmp_path, sources=("memory_table.c", "vma.c"))


def test_each_page_is_accepted_once(tmp_path: Path) -> None:
    run_driver("accept_driver", directory=tmp_path, sources=("accept.c",))
