"""What lies around a task, as far as a search for trajectories looks.

Only a neighbourhood is read, however large the graph is: so many tasks by edges, the
nearest first, so many that are ready, and above them what could lie between them.
`chain` falls along every edge, so what has a longer one than every candidate lies below
none of them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from workgraph.graph.inputs import split_reference
from workgraph.graph.model import Record, Task
from workgraph.graph.status import MEETS, Status
from workgraph.graph.tokens import estimate_conclusion, estimate_item
from workgraph.graph.trajectory import (
    MOST_STEPS,
    Candidate,
    Item,
    Region,
    candidate_of,
)
from workgraph.store import reads
from workgraph.store.database import Row, Tx
from workgraph.store.rows import TASK_COLUMNS, decode_task, encode
from workgraph.store.trajectories import NOT_RESERVED

#: How many tasks are looked at as steps, and how many of one task's neighbours.
MOST_NEAR: Final = 120
#: How many edges of one task are read.
_MOST_EDGES: Final = 300
#: How many tasks above the candidates are looked at.
_MOST_ABOVE: Final = 5000
#: How many of the best ready tasks are looked at, too.
MOST_READY: Final = 40

BELOW: Final = "select task from edges where dep = ? order by kind, task limit ?"
ABOVE: Final = """
select e.dep, e.kind, t.status, t.chain, length(cast(t.summary as blob))
from edges e join tasks t on t.id = e.dep
where e.task = ? order by e.dep limit ?
"""
#: Those of some tasks that could be steps: nothing but each other keeps them.
STEPS: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.id in (select value from json_each(:ids))
  and t.status = 'open' and t.paused = 0 and t.start_after is null
  and t.parked is null and t.unmet < :most
  and (t.actor is null or t.actor_matched = 1 or t.actor = :actor)
  and (t.reserved_for is null or t.reserved_for = :actor)
  and not exists (
        select 1 from trajectory_steps s where s.task = t.id and s.left_at is null)
order by t.priority, t.chain desc, t.seq
"""  # noqa: S608 - constants
NAMED: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.id in (select value from json_each(?))
"""  # noqa: S608 - constants
READY: Final = f"""
select t.id from tasks t indexed by tasks_dispatch
where t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.parked is null
  and {NOT_RESERVED}
  and not exists (
        select 1 from trajectory_steps s where s.task = t.id and s.left_at is null)
order by t.priority, t.chain desc, t.seq
limit ?
"""  # noqa: S608 - constants
SIZE_OF: Final = "select size from artifacts where task = ? and name = ?"


class Wish(Record, frozen=True, kw_only=True):
    """Whom steps are looked for."""

    #: An actor by name; null: any.
    actor: str | None = None
    #: What it can do; null: anything.
    skills: frozenset[str] | None = None


class Near(Record, frozen=True, kw_only=True):
    """How far around a task is looked, and for whom."""

    wish: Wish
    most: int


def around(tx: Tx, start: Task, wish: Wish, most: int = MOST_NEAR) -> Region:
    """The tasks around one that could follow it, the nearest first."""
    first = [*_above(tx, start.id), *_below(tx, start.id)]
    for one in _above(tx, start.id)[:MOST_STEPS]:
        # What works from the same as the start may share much with it.
        first += _below(tx, one)
    first += ready(tx, MOST_READY)

    def beside(task: str) -> list[str]:
        return [*_below(tx, task), *_above(tx, task)]

    return _spread(tx, start, first, beside, Near(wish=wish, most=most))


def behind(tx: Tx, start: Task, wish: Wish, most: int) -> Region:
    """The tasks that wait for one, and those that wait for these, the nearest first.

    Its own status is passed over: it may be running.
    """
    first = _below(tx, start.id)
    near = Near(wish=wish, most=most)
    return _spread(tx, start, first, lambda task: _below(tx, task), near)


def named(tx: Tx, tasks: Sequence[str]) -> Region:
    """These tasks, whatever they are, and what could lie between them.

    Raises:
        NotFoundError: One is not there.
    """
    rows = tx.rows(NAMED, (encode(list(tasks)).decode(),))
    found = {task.id: task for task in map(decode_task, rows)}
    for task in tasks:
        if task not in found:
            raise reads.no_such_task(tx, task)
    return _region(tx, [found[task] for task in tasks])


def ready(tx: Tx, most: int) -> list[str]:
    """The best ready tasks that nobody has reserved, in the order of dispatch."""
    return [row[0] for row in tx.rows(READY, (most,))]


def _spread(
    tx: Tx,
    start: Task,
    first: Iterable[str],
    neighbours: Callable[[str], Iterable[str]],
    near: Near,
) -> Region:
    found: dict[str, Task] = {start.id: start}
    wave = dict.fromkeys(first)
    while wave and len(found) < near.most:
        new = _steps(tx, wave.keys() - found.keys(), near.wish)
        new = new[: near.most - len(found)]
        found |= {task.id: task for task in new}
        wave = {}
        for task in new:
            wave |= dict.fromkeys(neighbours(task.id))
    return _region(tx, list(found.values()))


def _below(tx: Tx, task: str) -> list[str]:
    return [row[0] for row in tx.rows(BELOW, (task, _MOST_EDGES))]


def _above(tx: Tx, task: str) -> list[str]:
    return [row[0] for row in tx.rows(ABOVE, (task, _MOST_EDGES))]


def _steps(tx: Tx, ids: Iterable[str], wish: Wish) -> list[Task]:
    listed = encode(sorted(ids)).decode()
    params = {"ids": listed, "actor": wish.actor, "most": MOST_STEPS}
    found = map(decode_task, tx.rows(STEPS, params))
    return [task for task in found if _is_able(wish, task)]


def _is_able(wish: Wish, task: Task) -> bool:
    if wish.skills is None or "*" in wish.skills:
        return True
    return wish.skills.issuperset(task.spec.requires_skills)


def _region(tx: Tx, tasks: Sequence[Task]) -> Region:
    candidates: dict[str, Candidate] = {}
    tokens: dict[Item, int] = {}
    edges = _Edges(tx, max(task.chain for task in tasks))
    for task in tasks:
        rows = edges.read(task.id)
        waits = [row[0] for row in rows if Status(row[2]) not in MEETS[row[1]]]
        candidates[task.id] = candidate_of(task, [row[0] for row in rows], waits)
        for dep, _, _, _, size in rows:
            tokens["task", dep] = max(estimate_conclusion(size), 1)
    edges.climb()
    for each in candidates.values():
        for item in each.items:
            if item not in tokens:
                tokens[item] = _tokens_of(tx, item)
    return Region(
        candidates=candidates,
        after=edges.after,
        tokens=tokens,
        unknown=frozenset(edges.unknown),
    )


class _Edges:
    """The edges above some tasks, as far up as one of these could lie above them."""

    def __init__(self, tx: Tx, longest: int) -> None:
        self.after: dict[str, tuple[str, ...]] = {}
        self.unknown: set[str] = set()
        self._tx = tx
        #: The longest chain that any of them has.
        self._longest = longest
        self._above: deque[str] = deque()

    def read(self, task: str) -> list[Row]:
        """Reads the edges of a task; what they lead to is to be read, too."""
        rows = self._tx.all(ABOVE, (task, _MOST_EDGES + 1))
        if len(rows) > _MOST_EDGES:
            self.unknown.add(task)
        self.after[task] = tuple(row[0] for row in rows)
        self._above.extend(row[0] for row in rows if row[3] < self._longest)
        return rows

    def climb(self) -> None:
        """Reads all that is to be read, and what is to be read then."""
        while self._above:
            task = self._above.popleft()
            if task in self.after:
                continue
            if len(self.after) < _MOST_ABOVE:
                self.read(task)
            else:
                self.unknown.add(task)


def _tokens_of(tx: Tx, item: Item) -> int:
    kind, name = item
    size = None
    if kind == "artifact":
        named = split_reference(name)
        assert named is not None
        size = tx.value(SIZE_OF, named)
    return max(estimate_item(size), 1)
