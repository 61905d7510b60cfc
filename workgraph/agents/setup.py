"""What this process sets up of itself before it starts agents."""

import asyncio
import resource
import sys
import warnings
from typing import Final

_MOST_OPEN_FILES: Final = 1 << 20


def install_child_watcher() -> None:
    """Has children waited for by pidfd; called once inside the running loop.

    The default of 3.11 costs a thread for each child; later versions do it themselves.
    """
    if sys.version_info >= (3, 12):
        return
    # Agents outlive the loop: that they are waited for no more is meant.
    warnings.filterwarnings("ignore", "A loop is being detached", RuntimeWarning)
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(watcher)


def raise_open_files() -> int:
    """Raises our limit of open files; returns the old one, for the agents."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft
