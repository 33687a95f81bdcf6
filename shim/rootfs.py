"""Mounting what containerd names as a container's root file system, and taking it off again."""

import ctypes
import os
from pathlib import Path
from typing import NamedTuple, Protocol

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_BIND = 4096
MS_REC = 16384
MS_RELATIME = 1 << 21
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "relatime": MS_RELATIME,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
}
IGNORED = {"rw", "suid", "dev", "exec", "atime", "defaults"}

_libc = ctypes.CDLL(None, use_errno=True)


class MountSpec(Protocol):
    """containerd.types.Mount."""

    type: str
    source: str
    options: list[str]


class _Options(NamedTuple):
    flags: int
    data: str


def mount_rootfs(mounts: "list[MountSpec]", target: Path) -> None:
    """Mount each of `mounts` on `target`, in order; on failure what was mounted is undone.

    Raises OSError, which names the source and the target.
    """
    target.mkdir(mode=0o711, exist_ok=True)
    try:
        for spec in mounts:
            _mount(spec, target)
    except OSError:
        unmount_rootfs(target)
        raise


def _mount(spec: MountSpec, target: Path) -> None:
    options = _parse(spec.options)
    kind = "bind" if options.flags & MS_BIND else spec.type
    _check(
        _libc.mount(spec.source.encode(), bytes(target), kind.encode(), options.flags, options.data.encode()),
        f"mount {spec.source} ({spec.type}) on {target}",
    )
    if options.flags & MS_BIND and options.flags & ~(MS_BIND | MS_REC):
        # A bind mount takes its other flags only by a second call (mount(2), "Remounting").
        _check(
            _libc.mount(b"", bytes(target), b"", options.flags & ~MS_REC | MS_REMOUNT, None),
            f"remount {target} with {','.join(spec.options)}",
        )


def _parse(words: list[str]) -> _Options:
    flags, data = 0, []
    for word in words:
        if word in FLAGS:
            flags |= FLAGS[word]
        elif word not in IGNORED:
            data.append(word)
    return _Options(flags, ",".join(data))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unmount_rootfs(target: Path) -> None:
    """Detach every mount at or below `target`, the innermost first. Missing mounts are no error."""
    for point in reversed(mounts_below(target)):
        _libc.umount2(bytes(point), MNT_DETACH | UMOUNT_NOFOLLOW)


def mounts_below(target: Path) -> list[Path]:
    """Mount points at or below `target`, in the order of mounting."""
    points = []
    name = os.fsencode(target.name)
    for raw in Path("/proc/self/mountinfo").read_bytes().splitlines():
        if name not in raw:
            continue  # most lines, on a host with many containers; a name with an escape in it is none of containerd's
        line = os.fsdecode(raw)
        # proc(5): octal escapes for space, tab, newline and backslash.
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if point == target or target in point.parents:
            points.append(point)
    return points
