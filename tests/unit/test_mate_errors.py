"""Whatever the mate cannot do ends in one clear line and status 125, 126 or 127."""

import os
import resource
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from enclave_host.lease_grant import LeaseFlag, LeaseGrant
from tests.harness import solo
from tests.harness.patience import PATIENCE
from tests.unit import mate_process
from tests.unit.mate_process import MATE, Compartment

TRUE = "/bin/true"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    mate_process.build()


def run_alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MATE, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE
    )


def with_grant(compartment: Compartment, content: bytes) -> Compartment:
    return replace(compartment, grant=solo.sealed_memfd(content))


def change(**fields: object) -> Callable[[LeaseGrant], LeaseGrant]:
    return lambda grant: replace(grant, **fields)  # type: ignore[arg-type]


def change_mapping(**fields: object) -> Callable[[LeaseGrant], LeaseGrant]:
    return lambda grant: replace(
        grant,
        mappings=(replace(grant.mappings[0], **fields), *grant.mappings[1:]),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "usage: mate"),
        (("--lease-fd=3",), "no program was given"),
        (("program",), "--lease-fd is missing"),
        (("--lease-fd=x", "program"), "--lease-fd=x is not a descriptor number"),
        (("--lease-fd=99999999999", "program"), "is not a descriptor number"),
        (("--lease-fd=-1", "program"), "is not a descriptor number"),
        (("--unknown", "program"), "unknown option --unknown"),
        (("--lease-fd=0", "program"), "descriptor 0 holds no lease grant"),
        (("--lease-fd=999", "program"), "descriptor 999 holds no lease grant"),
        (("janitor",), "the janitor's channel, descriptor 3"),
    ],
)
def test_bad_command_line(arguments: tuple[str, ...], text: str) -> None:
    result = run_alone(*arguments)
    assert result.returncode == 125
    assert result.stderr.startswith("teemate: ") and result.stderr.count("\n") == 1
    assert text in result.stderr


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (change(enclave_base=0x600000000000), "the enclave is at another address"),
        (change(compartment_index=7), "the compartment lies outside the enclave"),
        (change(compartment_base=0x700000000000), "the compartment lies outside the enclave"),
        (change(enclave_size=0x1000000), "the compartment lies outside the enclave"),
        (change(thread_count=0), "the number of threads is impossible"),
        (change(thread_count=257), "the number of threads is impossible"),
        (change(mappings=()), "the number of mappings is impossible"),
        (change(xfrm=1 << 62 | 7), "this CPU lacks"),
        (change(flags=LeaseFlag(0)), "the lease is for SGX hardware"),
        (change_mapping(address=0x400000), "a mapping lies outside the enclave"),
        (change_mapping(address=0x700000000001), "a mapping is not page-aligned"),
        (change_mapping(size=0), "a mapping is not page-aligned"),
        (change_mapping(size=2**64 - 4096), "a mapping lies outside the enclave"),
        (change_mapping(prot=8), "a mapping has unknown permissions"),
        (change_mapping(descriptor=9), "a mapping names a descriptor that cannot be"),
        (change_mapping(descriptor=6), "the lease is incomplete"),
    ],
)
def test_bad_grant(compartment: Compartment, changed: Callable[[LeaseGrant], LeaseGrant], text: str) -> None:
    grant = LeaseGrant.unpack(os.pread(compartment.grant, 4096, 0))
    bad = with_grant(compartment, changed(grant).pack())
    result = bad.run(TRUE)
    os.close(bad.grant)
    assert result.returncode == 125
    assert result.stderr.startswith("teemate: ") and result.stderr.count("\n") == 1
    assert text in result.stderr


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [(0, 0, "holds no lease grant (magic"), (4, 2, "has version 2, this mate knows version 1")],
)
def test_foreign_grant(compartment: Compartment, at: int, value: int, text: str) -> None:
    content = bytearray(os.pread(compartment.grant, 4096, 0))
    content[at : at + 4] = value.to_bytes(4, "little")
    bad = with_grant(compartment, bytes(content))
    result = bad.run(TRUE)
    os.close(bad.grant)
    assert result.returncode == 125
    assert text in result.stderr


def test_truncated_grant(compartment: Compartment) -> None:
    bad = with_grant(compartment, os.pread(compartment.grant, 100, 0))
    result = bad.run(TRUE)
    os.close(bad.grant)
    assert result.returncode == 125
    assert "holds no lease grant (read: 100)" in result.stderr


@pytest.mark.parametrize(
    ("program", "status", "text"),
    [
        ("no-such-program", 127, 'exec: "no-such-program": executable file not found in $PATH'),
        ("/no/such/program", 127, 'exec: "/no/such/program": no such file or directory'),
        ("/etc/passwd/program", 127, "no such file or directory"),
        ("", 127, 'exec: "": executable file not found in $PATH'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
        ("/tmp", 126, 'exec: "/tmp": permission denied'),
        ("/" + "x" * 5000, 126, "longer than 4096 bytes"),
    ],
)
def test_program_that_cannot_be_run(compartment: Compartment, program: str, status: int, text: str) -> None:
    result = compartment.run(program)
    assert result.returncode == status
    assert text in result.stderr and result.stderr.count("\n") == 1


def test_arguments_too_long(compartment: Compartment) -> None:
    # The kernel's own limit is a quarter of the stack's
    unlimited = limited(resource.RLIMIT_STACK, resource.RLIM_INFINITY)
    result = compartment.run(TRUE, *["x" * 100_000] * 30, before=unlimited)
    assert result.returncode == 126
    assert "arguments and environment take" in result.stderr


def limited(kind: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (value, value))


def test_address_space_limit(compartment: Compartment) -> None:
    result = compartment.run(TRUE, before=limited(resource.RLIMIT_AS, 1 << 30))
    assert result.returncode == 125
    assert "cannot map the enclave" in result.stderr and "ulimit -v" in result.stderr


def test_few_descriptors(compartment: Compartment) -> None:
    def occupy() -> None:
        os.dup2(0, 7)
        resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))

    result = compartment.run(TRUE, before=occupy)
    assert result.returncode == 125
    assert "raise the limit of open files" in result.stderr


def test_relative_search_path(compartment: Compartment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As execvp: a match that may not be executed is passed over, and reported only if no other follows."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "true").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:/bin")
    assert compartment.run("true").returncode == 0
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:/nowhere")
    result = compartment.run("true")
    assert result.returncode == 126


def test_mate_for_hardware_builds_and_refuses_a_lease_of_the_model(
    compartment: Compartment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(
        ["make", "--silent", "-C", mate_process.ROOT / "mate", f"BUILD={tmp_path}", "SGX=hardware"], check=True
    )
    monkeypatch.setattr(mate_process, "MATE", tmp_path / "mate.hardware")
    result = compartment.run(TRUE)
    assert result.returncode == 125
    assert "the lease is of the software model but this mate was built for SGX hardware" in result.stderr
