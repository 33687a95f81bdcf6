"""Does the bundle's seccomp profile let the mate work?

The profile is never widened: the mate runs under it like any program, and docker's default profile allows all it needs.
A stricter one is refused here, with the names, instead of by a SIGSYS or EPERM deep inside the mate.
"""

from __future__ import annotations

from teemate_runtime.oci.failure import Failure
from teemate_runtime.oci.strict_json import Object, Value

_ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY")
_NEEDED = (
    "arch_prctl",
    "clone",
    "close",
    "execve",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "gettid",
    "mmap",
    "mprotect",
    "munmap",
    "prctl",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
)


def check(config: Object) -> None:
    linux = config.get("linux")
    profile = linux.get("seccomp") if isinstance(linux, dict) else None
    if not isinstance(profile, dict):
        return
    allowed: set[Value] = set()
    denied: set[Value] = set()
    for rule in _rules(profile):
        names = rule.get("names")
        if isinstance(names, list):
            target = allowed if rule.get("action") in _ALLOWING else denied
            target.update(name for name in names if isinstance(name, str))
    if profile.get("defaultAction") in _ALLOWING:
        missing = [name for name in _NEEDED if name in denied and name not in allowed]
    else:
        missing = [name for name in _NEEDED if name not in allowed]
    if missing:
        raise Failure(
            f"the container's seccomp profile denies {', '.join(missing)}",
            cause="the mate, which runs the program in the enclave, needs it",
            remedy="allow it in the profile given with --security-opt seccomp=FILE",
        )


def _rules(profile: Object) -> list[Object]:
    rules = profile.get("syscalls")
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
