"""How long the machine has stood still: no daemon can answer meanwhile."""

import threading
import time
from typing import Final

_BEAT_S: Final = 0.05
#: Being woken so much too late is usual where others are at work.
_USUAL_S: Final = 0.1


class Pulse:
    """Wakes again and again, and adds up by how much too late that was."""

    def __init__(self) -> None:
        #: Seconds in which this process, and so the machine, did not get on.
        self.lost_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(_BEAT_S):
            now = time.monotonic()
            late = now - began - _BEAT_S
            if late > _USUAL_S:
                self.lost_s += late
            began = now
