"""What a soak counts, and the one table in which it ends."""

import threading
from collections import Counter
from statistics import median
from typing import Final

from tests.soak.pulse import Pulse

#: What must be 0.
MISSES: Final = (
    "lost",
    "doubled",
    "misreported",
    "forgotten",
    "claimed twice",
    "leftovers",
    "zombies",
    "wrong counts",
    "not ended",
    "defects",
)
#: A request to a daemon that lives takes no longer, on a machine that is busy; the time
#: in which it stands still is left out.
MOST_LATENCY_S: Final = 5.0
#: A daemon's memory grows no more in one life.
MOST_GROWTH_BYTES: Final = 100_000_000
_SHOWN: Final = 5


class Tally:
    """Counters that many threads write."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        #: Odd while a daemon lives that nobody has told to end.
        self.life = 0
        self.growth_bytes = 0
        self.pulse = Pulse()
        self._latencies: list[float] = []
        self._misses: dict[str, list[str]] = {name: [] for name in MISSES}
        self._lock = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        """Counts something that has happened."""
        with self._lock:
            self.counts[what] += number

    def note_request(self, heard: str, took_s: float | None) -> None:
        """Counts a request; its time, where a daemon lived all along."""
        with self._lock:
            self.counts["requests"] += 1
            self.counts[heard] += 1
            if took_s is not None:
                self._latencies.append(took_s)

    def note_growth(self, size_bytes: int) -> None:
        """Keeps the most by which a daemon has grown in one life."""
        with self._lock:
            self.growth_bytes = max(self.growth_bytes, size_bytes)

    def note_miss(self, name: str, what: str) -> None:
        """Notes a promise that was not kept; the same one once."""
        with self._lock:
            if what not in self._misses[name]:
                self._misses[name].append(what)

    @property
    def is_clean(self) -> bool:
        """Whether all promises were kept."""
        return (
            not any(self._misses.values())
            and max(self._latencies, default=0) <= MOST_LATENCY_S
            and self.growth_bytes <= MOST_GROWTH_BYTES
        )

    def table(self, seconds: float, seed: int) -> str:
        """The table, and some of what was missed."""
        counts = self.counts
        slow = sorted(self._latencies) or [0.0]
        rows: list[tuple[str, object]] = [
            ("seed", seed),
            ("seconds", f"{seconds:.0f}"),
            ("requests", counts["requests"]),
            ("  done", counts["done"]),
            ("  refused", counts["refused"]),
            ("  no answer: the daemon was killed", counts["no answer"]),
            ("tasks", counts["tasks"]),
            ("agents started", counts["starts"]),
            ("agents ended", counts["ends"]),
            ("agents killed by wg", counts["wg kill"]),
            ("agents killed from outside", counts["agent killed"]),
            ("daemon killed with -9", counts["daemon killed"]),
            ("daemon ended in order", counts["daemon ended"]),
            ("evidence compared", counts["checks"]),
            *((name, len(self._misses[name])) for name in MISSES),
            ("latency, median", f"{median(slow) * 1000:.0f} ms"),
            ("latency, most", f"{slow[-1] * 1000:.0f} ms"),
            ("the machine stood still", f"{self.pulse.lost_s:.1f} s"),
            ("memory growth in a life, most", f"{self.growth_bytes / 1e6:.0f} MB"),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}}  {value:>8}" for name, value in rows]
        for name, found in self._misses.items():
            lines += [f"{name}: {one}" for one in found[:_SHOWN]]
        lines.append("all promises kept" if self.is_clean else "MISSED")
        return "\n".join(lines) + "\n"
