"""How nice agents are: less than the daemon, so that busy ones do not starve it."""

import asyncio
import os
from asyncio.subprocess import Process
from contextlib import suppress
from typing import Final

_HIGHEST: Final = 19
#: A process that is being forked while its group is made nicer keeps the old value (1
#: agent in 40 on a busy machine): once more, after that fork.
_AGAIN_S: Final = 0.02


class Niceness:
    """Makes agents nicer than this process is."""

    def __init__(self) -> None:
        self._own = os.getpriority(os.PRIO_PROCESS, 0)

    def lower(self, child: Process, nice: int) -> None:
        """Makes a child's group nicer: by now the wrapper may have forked, and more."""
        if nice:
            self._lower(child, nice)
            loop = asyncio.get_running_loop()
            loop.call_later(_AGAIN_S, self._lower, child, nice)

    def _lower(self, child: Process, nice: int) -> None:
        if child.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                lowered = min(self._own + nice, _HIGHEST)
                os.setpriority(os.PRIO_PGRP, child.pid, lowered)
