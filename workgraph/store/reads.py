"""What commands ask of the graph: rows by id, listings, logs."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import Artifact, Edge, Task
from workgraph.graph.status import Status
from workgraph.store import artifacts
from workgraph.store.database import Tx
from workgraph.store.rows import TASK_COLUMNS, decode_task, encode

_LONGEST_ID: Final = 64

TASK_BY_ID: Final = f"select {TASK_COLUMNS} from tasks t where t.id = ?"  # noqa: S608 - constants
ID_TAKEN: Final = "select 1 from tasks where id = ?"
STATUS_BY_ID: Final = "select status from tasks where id = ?"
ADDED_BY: Final = "select count(*) from tasks where added_by = ?"
#: The operator's task that a task hangs below, by who has added whom.
ROOT_OF: Final = """
with recursive above (id, added_by, level) as (
    select id, added_by, 0 from tasks where id = :task
    union
    select t.id, t.added_by, above.level + 1
    from above
    join agents g on g.number = cast(substr(above.added_by, 7) as integer)
    join tasks t on t.id = g.task
    where above.level < 1000
)
select id from above order by level desc limit 1
"""
#: `most` and one more at the most: nobody has to know how many more there are.
COUNT_BELOW: Final = """
with recursive below (id) as (
    select :root
    union
    select t.id
    from below
    join agents g on g.task = below.id
    join tasks t on t.added_by = 'agent-' || g.number
    limit :most + 1
)
select count(*) - 1 from below
"""
ALL_IDS: Final = "select id from tasks limit 20000"
TASKS: Final = f"""
select {TASK_COLUMNS} from tasks t
where (:status is null or t.status in (select value from json_each(:status)))
  and (:tag is null or exists (
        select 1 from json_each(t.spec, '$.tags') where value = :tag))
  and (:actor is null or t.actor = :actor)
  and (:all or not exists (
        select 1 from json_each(t.spec, '$.tags')
        where value in ('assignment', 'reward', 'evolution', 'chat')))
order by t.seq
"""  # noqa: S608 - constants
READY: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.status = 'open' and t.paused = 0 and t.unmet = 0
order by t.priority, t.chain desc, t.seq
"""  # noqa: S608 - constants
OPEN: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.status in ('open', 'waiting', 'pending-review')
  and coalesce(json_extract(t.parked, '$.key'), '') <> 'chat'
order by t.seq
"""  # noqa: S608 - constants
TASKS_BY_SEQ: Final = f"select {TASK_COLUMNS} from tasks t order by t.seq"  # noqa: S608
EDGES_OF: Final = "select dep, kind from edges where task = ? order by dep"
EDGES_WITH_STATUS: Final = """
select e.dep, e.kind, t.status
from edges e join tasks t on t.id = e.dep where e.task = ? order by e.dep
"""
DEPENDENTS_OF: Final = "select task from edges where dep = ? order by task"
ALL_EDGES: Final = "select task, dep, kind from edges order by task, dep"


def task(tx: Tx, task_id: str) -> Task:
    """A task by its id.

    Raises:
        NotFoundError: There is none; the hint offers the nearest ids.
    """
    row = tx.one(TASK_BY_ID, (task_id,))
    if row is None:
        raise no_such_task(tx, task_id)
    return decode_task(row)


def status(tx: Tx, task_id: str) -> str:
    """A task's status alone, the cheapest question there is."""
    found = tx.value(STATUS_BY_ID, (task_id,))
    if found is None:
        raise no_such_task(tx, task_id)
    return str(found)


def no_such_task(tx: Tx, task_id: str) -> NotFoundError:
    """The error for an id that names no task, with the nearest ones."""
    near: list[str] = []
    if len(task_id) <= _LONGEST_ID:  # what is longer is no id, nor like one
        near = get_close_matches(task_id, [row[0] for row in tx.rows(ALL_IDS)])
    shown = task_id if len(task_id) <= _LONGEST_ID else f"{task_id[:_LONGEST_ID]}…"
    return NotFoundError(
        f"there is no task {shown!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else "wg list",
    )


def is_taken(tx: Tx, task_id: str) -> bool:
    """Whether a task has this id."""
    return tx.one(ID_TAKEN, (task_id,)) is not None


def count_added_by(tx: Tx, agent_id: str) -> int:
    """How many tasks an attempt has added."""
    return int(tx.value(ADDED_BY, (agent_id,)))


def count_below(tx: Tx, root: str, most: int) -> int:
    """How many tasks agents have added below one, however deep; `most` at the most."""
    return int(tx.value(COUNT_BELOW, {"root": root, "most": most}))


def root_of(tx: Tx, task_id: str) -> str:
    """The task that an operator has added, below which a task hangs."""
    return str(tx.value(ROOT_OF, {"task": task_id}))


def edges(tx: Tx, task_id: str) -> tuple[Edge, ...]:
    """What a task waits for."""
    return tuple(Edge(id=r[0], on=r[1]) for r in tx.rows(EDGES_OF, (task_id,)))


def dependencies(tx: Tx, task_id: str) -> tuple[tuple[Edge, Status], ...]:
    """What a task waits for, and how that stands."""
    return tuple(
        (Edge(id=row[0], on=row[1]), Status(row[2]))
        for row in tx.rows(EDGES_WITH_STATUS, (task_id,))
    )


def dependents(tx: Tx, task_id: str) -> tuple[str, ...]:
    """Who waits for a task."""
    return tuple(row[0] for row in tx.rows(DEPENDENTS_OF, (task_id,)))


class Neighbours:
    """Edges and artifacts of many tasks, read at once.

    Args:
        tx: The transaction.
        tasks: The ids asked for; a few are read one by one, many all together.
    """

    _FEW = 50

    def __init__(self, tx: Tx, tasks: Sequence[str]) -> None:
        self.after: dict[str, list[Edge]] = {}
        self.before: dict[str, list[str]] = {}
        self.artifacts: dict[str, list[Artifact]] = {}
        if len(tasks) <= self._FEW:
            for name in tasks:
                self.after[name] = list(edges(tx, name))
                self.before[name] = list(dependents(tx, name))
                self.artifacts[name] = [
                    artifacts.shown(one) for one in artifacts.of_task(tx, name)
                ]
            return
        for name, dep, kind in tx.rows(ALL_EDGES):
            self.after.setdefault(name, []).append(Edge(id=dep, on=kind))
            self.before.setdefault(dep, []).append(name)
        for name, artifact in artifacts.every(tx):
            self.artifacts.setdefault(name, []).append(artifact)


def list_tasks(
    tx: Tx,
    *,
    statuses: Sequence[str] = (),
    tag: str | None = None,
    actor: str | None = None,
    machinery: bool = True,
) -> list[Task]:
    """Tasks that fit, oldest first; without the machinery's own where so asked."""
    params = {
        "status": encode(statuses).decode() if statuses else None,
        "tag": tag,
        "actor": actor,
        "all": machinery,
    }
    return [decode_task(row) for row in tx.rows(TASKS, params)]


def ready_tasks(tx: Tx) -> list[Task]:
    """Open tasks with nothing before them, in the order of dispatch.

    Those whose moment lies ahead are among them: ask `readiness`.
    """
    return [decode_task(row) for row in tx.rows(READY)]


def unsettled_tasks(tx: Tx) -> list[Task]:
    """Tasks that are neither settled nor in progress."""
    return [decode_task(row) for row in tx.rows(OPEN)]


def every_task(tx: Tx) -> list[Task]:
    """All tasks, oldest first."""
    return [decode_task(row) for row in tx.rows(TASKS_BY_SEQ)]
