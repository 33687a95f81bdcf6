# SPDX-License-Identifier: Apache-2.0
"""The system call table: complete, named as the kernel names its calls, and the document made from it is current."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNISTD = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
HIGHEST = 462
# 335 to 423 were left free so that new calls have the same number on every architecture
UNUSED = range(335, 424)
# calls that this header does not know yet, as later kernels number them
LATER_NAMES = {
    451: "cachestat",
    452: "fchmodat2",
    453: "map_shadow_stack",
    454: "futex_wake",
    455: "futex_wait",
    456: "futex_requeue",
    457: "statmount",
    458: "listmount",
    459: "lsm_get_self_attr",
    460: "lsm_set_self_attr",
    461: "lsm_list_modules",
    462: "mseal",
}


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_syscalls", ROOT / "enclave" / "gen_syscalls.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generator = load_generator()
ROWS = generator.read_table(text=generator.TABLE.read_text())


def kernel_names() -> dict[int, str]:
    names = {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)", UNISTD.read_text())}
    return LATER_NAMES | names


def test_every_number_has_exactly_one_row() -> None:
    expected = [number for number in range(HIGHEST + 1) if number not in UNUSED]
    assert [row.number for row in ROWS] == expected


def test_names_are_the_kernels() -> None:
    names = kernel_names()
    assert {row.number: row.name for row in ROWS} == {number: names[number] for number in names if number <= HIGHEST}


def test_document_is_current() -> None:
    assert generator.DOCUMENT.read_text() == generator.render(rows=ROWS), "run enclave/gen_syscalls.py"


def test_every_handler_exists() -> None:
    # The other way round is the compiler's: a handler without a row has no prototype.
    handled = {row.name for row in ROWS if row.service is generator.Service.LIBOS}
    defined: set[str] = set()
    for source in (ROOT / "enclave").glob("*.c"):
        defined |= set(re.findall(r"^long sys_(\w+)\(struct syscall \*", source.read_text(), re.MULTILINE))
    assert handled - defined == set()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('HANDLED(0, read, "")\n', "FULL or PARTIAL"),
        ("PASSED(3, close, ZERO, FULL, FD)\n", "no note"),
        ('HANDLED(0, read, PARTIAL, "")\n', "must say why"),
        ('HANDLE(0, read, FULL, "")\n', "cannot read"),
    ],
)
def test_bad_rows_are_named(text: str, complaint: str) -> None:
    with pytest.raises(generator.TableError, match=complaint):
        generator.read_table(text=text)
