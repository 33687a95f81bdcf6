"""What the VM tests read from a machine's console."""

from tests.vm.machine import parse


def test_phases_are_found_behind_unfinished_lines() -> None:
    console = parse("Booting from ROM..@@ BEGIN one\nok - it works\nno newline@@ END one 0\n@@ DONE\n")
    assert console.finished
    phase = console.phases["one"]
    assert (phase.status, phase.passed, phase.failures) == (0, 1, [])


def test_a_phase_that_never_ends_has_no_status() -> None:
    console = parse("@@ BEGIN one\nnot ok - it fails\n@@ BEGIN two\n@@ END two 3\n")
    assert not console.finished
    assert (console.phases["one"].status, console.phases["two"].status) == (None, 3)
    assert console.phases["one"].failures == ["not ok - it fails"]
