"""Cycles of the predecessor: the edge back is taken out, what can be is a loop here.

There a cycle was made of dependencies, and its first task said how often it goes round.
Here a loop is a thing of its own, and dependencies never close a cycle.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from workgraph.commands import wg_rs_values as values
from workgraph.graph import topology
from workgraph.graph.loops import MOST
from workgraph.graph.model import Record
from workgraph.graph.status import Status

#: What each task waits for; the edges back are taken out of it.
Waits = dict[str, list[str]]
Config = Mapping[str, Any]


class FoundLoop(Record, frozen=True, kw_only=True):
    """A loop in our terms."""

    members: tuple[str, ...]
    max: int
    until_converged: bool
    iteration: int


class Broken(Record, frozen=True, kw_only=True):
    """A cycle that is none any more: its first task, and what has become of it."""

    head: str
    loop: FoundLoop | None
    note: str


_DROPPED: Final = "its cycle is taken apart: {0}"


def break_cycles(
    waits: Waits,
    configs: Mapping[str, Config],
    chats: Collection[str],
    place: Callable[[str], int],
) -> list[Broken]:
    """Takes edges out until there is no cycle, and says what those were.

    Args:
        waits: What each task of the file waits for.
        configs: What the first tasks of cycles say of them.
        chats: Tasks that are chats; whose edge goes first.
        place: Where a task stands in the file.
    """
    found: list[Broken] = []
    for task, deps in waits.items():
        if task in deps:
            deps[:] = [dep for dep in deps if dep != task]
            found.append(_broken(task, (task,), waits, configs, chats))
    nodes: Collection[str] = waits
    while parts := list(topology.components(nodes, waits)):
        for part in parts:
            inside = set(part)
            head = min(
                part,
                key=lambda one: (one not in chats, one not in configs, place(one)),
            )
            waits[head] = [dep for dep in waits[head] if dep not in inside]
            order, rest = topology.sort_topologically(part, waits)
            found.append(_broken(head, () if rest else order, waits, configs, chats))
        nodes = {one for part in parts for one in part}
    return found


def keep_possible(
    found: Iterable[Broken], waits: Waits, status_of: Callable[[str], Status]
) -> list[Broken]:
    """Leaves out the loops that could not go on here, and says so."""
    inner: dict[str, FoundLoop] = {}
    taken: set[str] = set()
    kept: list[Broken] = []
    for one in found:
        loop = one.loop
        if loop is not None:
            statuses = [status_of(task) for task in loop.members]
            over = Status.ABANDONED in statuses or statuses[-1] is Status.DONE
            if over or taken.intersection(loop.members):
                kept.append(_without(one, "it is over" if over else "two in one"))
                continue
            taken.update(loop.members)
            inner.update(dict.fromkeys(loop.members[:-1], loop))
        kept.append(one)
    entered = set()
    for task, deps in waits.items():
        for dep in deps:
            loop = inner.get(dep)
            if loop and task not in loop.members and loop.members[-1] not in deps:
                entered.add(loop.members)
    return [
        _without(one, "others wait for its middle")
        if one.loop is not None and one.loop.members in entered
        else one
        for one in kept
    ]


def _without(one: Broken, why: str) -> Broken:
    return Broken(head=one.head, loop=None, note=_DROPPED.format(why))


def _broken(
    head: str,
    members: Sequence[str],
    waits: Waits,
    configs: Mapping[str, Config],
    chats: Collection[str],
) -> Broken:
    def dropped(why: str) -> Broken:
        return Broken(head=head, loop=None, note=_DROPPED.format(why))

    if head in chats:
        return dropped("a chat is kept by whoever uses it")
    config = configs.get(head)
    if config is None:
        return dropped("nothing says how often it runs")
    most = values.count(config.get("max_iterations"))
    if not isinstance(most, int) or not 1 <= most <= MOST:
        return dropped("how often it runs has no equal")
    if config.get("guard") not in (None, "Always"):
        return dropped("its guard has no equal")
    chain = all(before in waits[after] for before, after in pairwise(members))
    if not members or members[0] != head or not chain:
        return dropped("it is no chain")
    done = values.count(config.get("iteration", 0))
    return Broken(
        head=head,
        loop=FoundLoop(
            members=tuple(members),
            max=most,
            until_converged=not config.get("no_converge", False),
            iteration=min(done + 1 if isinstance(done, int) else 1, most),
        ),
        note="its cycle is a loop now",
    )
