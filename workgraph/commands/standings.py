"""The handler of `wg actor stats`: how everybody stands by what was judged."""

from collections.abc import Iterator, Mapping
from typing import Final

from workgraph.commands.context import Context
from workgraph.graph.canary_requests import OverridesData
from workgraph.graph.model import Actor, Record
from workgraph.graph.replies import Reply
from workgraph.graph.reward_requests import (
    GetStats,
    OverrideData,
    StandingData,
    StatsData,
)
from workgraph.graph.rewards import OPERATOR, Cell, Reward, is_evaluator
from workgraph.graph.rubric import DECIMALS, LEVEL, RUBRIC, interval_of
from workgraph.store import calibration, identities, rewards, subjects
from workgraph.store.database import Tx
from workgraph.store.subjects import Subject

_SHORT: Final = 8
_KINDS: Final = ("actor", "role", "tradeoff", "pair")


class _Sum(Record, frozen=True, kw_only=True):
    count: int = 0
    total: float = 0.0

    def plus(self, score: float) -> "_Sum":
        return _Sum(count=self.count + 1, total=self.total + score)


def actor_stats(context: Context, request: GetStats) -> Reply:
    """Count, mean and interval of each; what operators say against evaluators.

    Raises:
        NotFoundError: There is no such actor.
    """
    tx = context.tx
    actor = None if request.actor is None else _actor(tx, request.actor)
    names = subjects.every(tx)
    rows: Iterator[StandingData]
    if request.by == "source":
        rows = _by_source(tx, actor, names)
    else:
        rows = _standings(tx, actor, names, by_skill=request.by == "skill")
    return Reply(
        data=StatsData(
            rubric=RUBRIC,
            level=LEVEL,
            rows=tuple(rows),
            overrides=tuple(_overrides(tx, actor, names)),
            as_evaluator=_as_evaluator(tx, actor),
        )
    )


def _actor(tx: Tx, text: str) -> Actor:
    """An actor by its name or the beginning of its id, in use or not."""
    found = identities.find_kept(tx, Actor, text).identity
    assert isinstance(found, Actor)
    return found


def _as_evaluator(tx: Tx, actor: Actor | None) -> OverridesData | None:
    if actor is None:
        return None
    count, difference = calibration.overrides(tx, actor.name, RUBRIC)
    return OverridesData(count=count, difference=difference) if count else None


def _standings(
    tx: Tx, actor: Actor | None, names: Mapping[str, Subject], *, by_skill: bool
) -> Iterator[StandingData]:
    found = [
        (cell, _Sum(count=one.count, total=one.total))
        for cell, one in rewards.standings(tx).items()
        if (by_skill and cell.kind == "actor") or not (cell.skill or cell.complexity)
    ]
    if actor is not None:
        mine = _subjects_of(actor)
        found = [(cell, one) for cell, one in found if cell.subject in mine]
        if all(cell.kind != "actor" for cell, _ in found):
            # Nothing is known of it: that is said, too.
            found.append((Cell(kind="actor", subject=actor.id), _Sum()))
    rows = [_row(cell, one, names) for cell, one in found]
    yield from sorted(rows, key=_order)


def _order(row: StandingData) -> tuple[int, str, str, str, str]:
    kind = _KINDS.index(row.kind)
    return kind, row.name, row.id, row.skill or "", row.complexity or ""


def _subjects_of(actor: Actor) -> frozenset[str]:
    pair = f"{actor.role} {actor.tradeoff}"
    return frozenset({actor.id, actor.role or "", actor.tradeoff or "", pair})


def _by_source(
    tx: Tx, actor: Actor | None, names: Mapping[str, Subject]
) -> Iterator[StandingData]:
    sums: dict[tuple[str, str], _Sum] = {}
    for one in _of_today(tx, actor):
        key = (one.actor_id or "", one.source)
        sums[key] = sums.get(key, _Sum()).plus(one.score)
    rows = [
        _row(Cell(kind="actor", subject=subject), one, names, source)
        for (subject, source), one in sums.items()
    ]
    yield from sorted(rows, key=lambda row: (row.name, row.id, row.source or ""))


def _overrides(
    tx: Tx, actor: Actor | None, names: Mapping[str, Subject]
) -> Iterator[OverrideData]:
    """Attempts that an operator and an evaluator have judged, by actors."""
    of_attempt: dict[tuple[str, int], dict[str, Reward]] = {}
    for one in _of_today(tx, actor):
        here = of_attempt.setdefault((one.task, one.attempt), {})
        if one.source == OPERATOR:
            here[OPERATOR] = one
        elif is_evaluator(one.source):
            last = here.get("")
            here[""] = one if last is None or one.at >= last.at else last
    sums: dict[str, tuple[_Sum, _Sum]] = {}
    for judged in of_attempt.values():
        if len(judged) > 1:
            over, under = judged[OPERATOR], judged[""]
            first, second = sums.get(over.actor_id or "", (_Sum(), _Sum()))
            sums[over.actor_id or ""] = (
                first.plus(over.score),
                second.plus(under.score),
            )
    rows = [
        OverrideData(
            id=subject,
            name=_name(subject, names),
            count=over.count,
            operator=round(over.total / over.count, DECIMALS),
            evaluator=round(under.total / under.count, DECIMALS),
            difference=round((over.total - under.total) / over.count, DECIMALS),
        )
        for subject, (over, under) in sums.items()
    ]
    yield from sorted(rows, key=lambda row: (row.name, row.id))


def _of_today(tx: Tx, actor: Actor | None) -> Iterator[Reward]:
    """The rewards of actors, or of one, by the rubric of today."""
    for one in rewards.every(tx):
        if one.rubric != RUBRIC or one.actor_id is None:
            continue
        if actor is None or one.actor_id == actor.id:
            yield one


def _row(
    cell: Cell, one: _Sum, names: Mapping[str, Subject], source: str | None = None
) -> StandingData:
    whole = interval_of(one.count, one.total)
    parts = cell.subject.split(" ")
    return StandingData(
        kind=cell.kind,
        id=cell.subject,
        name=" + ".join(_name(part, names) for part in parts),
        retired=any(part in names and names[part].retired for part in parts),
        skill=cell.skill or None,
        complexity=cell.complexity or None,
        source=source,
        count=whole.count,
        mean=whole.mean,
        low=whole.low,
        high=whole.high,
    )


def _name(subject: str, names: Mapping[str, Subject]) -> str:
    found = names.get(subject)
    return subject[:_SHORT] if found is None else found.name
