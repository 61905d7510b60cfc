"""Interleaved rounds: every variant once in each, so that a slow minute hits them all.

A run during which other processes took much of a processor is done again, and the one
that was disturbed least is kept.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from workgraph.graph.model import Record

#: Processors' worth of time that others may take during a run that counts.
_MOST_OTHERS: Final = 0.25
_QUIET_OTHERS: Final = 0.2
_LOOK_S: Final = 0.15
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")

Variants = Mapping[str, Callable[[], float]]


class Plan(Record, frozen=True, kw_only=True):
    """How often things are run."""

    rounds: int
    #: Rounds before those that count.
    warm: int = 1
    #: How often a disturbed run is tried in all.
    tries: int = 3
    #: How long to wait for others to be quiet before each run.
    patience_s: float = 2.0


class Taken(Record, frozen=True, kw_only=True):
    """What each variant gave in each round, and how much others disturbed."""

    values: Mapping[str, Sequence[float]]
    others: Sequence[float]

    def median(self, name: str) -> float:
        """The middle value of a variant."""
        return statistics.median(self.values[name])

    def ratios(self, over: str, under: str) -> list[float]:
        """One variant by another, paired by round."""
        pairs = zip(self.values[over], self.values[under], strict=True)
        return [one / other for one, other in pairs]


class Disturbance:
    """Tells what processors spend on others than the benchmark.

    Args:
        children: The pids of those of our children that are still to be waited for.
    """

    def __init__(self, children: Callable[[], Sequence[int]]) -> None:
        self._children = children

    def wait_quiet(self, limit_s: float) -> None:
        """Returns when others are quiet, or after so many seconds."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            before = self._others_s()
            time.sleep(_LOOK_S)
            if self._others_s() - before < _QUIET_OTHERS * _LOOK_S:
                return

    def run(self, measure: Callable[[], float]) -> tuple[float, float]:
        """What a run gives, and how many processors others used meanwhile."""
        before, began = self._others_s(), time.monotonic()
        value = measure()
        spent = time.monotonic() - began
        return value, max(0.0, self._others_s() - before) / max(spent, 1e-3)

    def _others_s(self) -> float:
        return _busy_s() - _own_s() - sum(map(_spent_s, self._children()))


def interleave(variants: Variants, plan: Plan, watch: Disturbance) -> Taken:
    """Runs every variant once a round, in turn."""
    values: dict[str, list[float]] = {name: [] for name in variants}
    others: list[float] = []
    for number in range(plan.warm + plan.rounds):
        for name, measure in variants.items():
            value, other = _least_disturbed(measure, plan, watch)
            if number >= plan.warm:
                values[name].append(value)
                others.append(other)
    return Taken(values=values, others=others)


def _least_disturbed(
    measure: Callable[[], float], plan: Plan, watch: Disturbance
) -> tuple[float, float]:
    runs: list[tuple[float, float]] = []
    for _ in range(plan.tries):
        watch.wait_quiet(plan.patience_s)
        runs.append(watch.run(measure))
        if runs[-1][1] < _MOST_OTHERS:
            break
    return min(runs, key=lambda run: run[1])


def _busy_s() -> float:
    """What all processors have spent on anything but idling, stolen time included."""
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / _TICKS_A_SECOND


def _own_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _spent_s(pid: int) -> float:
    """What a process and those that it has waited for have spent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_A_SECOND
