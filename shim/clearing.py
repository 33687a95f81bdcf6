"""What takes longest in Delete, done while the client is still busy with the container's end."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shim.delegate_state import DelegateState
from shim.rootfs import unmount_rootfs


def begin(state: DelegateState, root: Path) -> "asyncio.Future[bool]":
    """Unmount the root file system, and remove the control groups. The result: is the former done?

    Nobody sees the difference: nothing runs in a container that has ended, and its metrics have ended, too. In a
    thread, since there is more to answer meanwhile: an unmount writes back what is not on the disk yet.
    """

    def clear() -> bool:
        try:
            unmount_rootfs(root)
        except OSError:
            return False
        state.remove_cgroups()
        return True

    executor = ThreadPoolExecutor(max_workers=1)
    done = asyncio.get_running_loop().run_in_executor(executor, clear)
    executor.shutdown(wait=False)
    return done
