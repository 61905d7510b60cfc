"""The record as proposals are made from it: who is in use, and how everybody stands."""

from collections.abc import Iterable

from workgraph.graph.evolution import EvolutionView, Subject
from workgraph.graph.matching import Standing
from workgraph.graph.model import Actor, Role, Tradeoff
from workgraph.graph.rewards import TEACHING, Reward, effective
from workgraph.store import identities, proposals, rewards
from workgraph.store.database import Tx


def view(
    tx: Tx, officials: Iterable[str], *, with_dimensions: bool = True
) -> EvolutionView:
    """Every actor that is in use with its record, and every proposal so far.

    Args:
        tx: The transaction.
        officials: The names that `[agency]` gives to those who judge, assign, evolve.
        with_dimensions: Reads every reward, which only new proposals need.
    """
    names = set(officials)
    roles = {one.id: one for one in _all_of(tx, Role) if isinstance(one, Role)}
    tradeoffs = {
        one.id: one for one in _all_of(tx, Tradeoff) if isinstance(one, Tradeoff)
    }
    actors = [
        one.identity
        for one in identities.every(tx, Actor)
        if isinstance(one.identity, Actor)
    ]
    totals, cells = _standings(tx)
    dimensions = _dimensions(tx) if with_dimensions else {}
    return EvolutionView(
        subjects=tuple(
            Subject(
                actor=actor,
                role=roles.get(actor.role or ""),
                tradeoff=tradeoffs.get(actor.tradeoff or ""),
                overall=totals.get(actor.id, Standing()),
                cells=cells.get(actor.id, {}),
                dimensions=dimensions.get(actor.id, {}),
            )
            for actor in actors
        ),
        officials=frozenset(actor.id for actor in actors if actor.name in names),
        proposals=tuple(proposals.every(tx)),
    )


def _all_of(
    tx: Tx, type_: type[Role] | type[Tradeoff]
) -> list[Actor | Role | Tradeoff]:
    return [one.identity for one in identities.every(tx, type_, retired=True)]


def _standings(
    tx: Tx,
) -> tuple[dict[str, Standing], dict[str, dict[tuple[str, str], Standing]]]:
    totals: dict[str, Standing] = {}
    cells: dict[str, dict[tuple[str, str], Standing]] = {}
    for cell, standing in rewards.standings(tx).items():
        if cell.kind != "actor":
            continue
        if cell.skill == TEACHING:
            totals[cell.subject] = standing
        elif cell.skill or cell.complexity:
            of_actor = cells.setdefault(cell.subject, {})
            of_actor[cell.skill, cell.complexity] = standing
    return totals, cells


def _dimensions(tx: Tx) -> dict[str, dict[str, Standing]]:
    """By actor and dimension, of the reward that counts of each attempt."""
    found: dict[str, dict[str, Standing]] = {}
    these: list[Reward] = []
    for one in rewards.every(tx):
        if these and (one.task, one.attempt) != (these[0].task, these[0].attempt):
            _add(found, these)
            these = []
        these.append(one)
    _add(found, these)
    return found


def _add(found: dict[str, dict[str, Standing]], these: list[Reward]) -> None:
    reward = effective(these)
    if reward is None or reward.actor_id is None:
        return
    of_actor = found.setdefault(reward.actor_id, {})
    for name, value in reward.dimensions.items():
        was = of_actor.get(name, Standing())
        of_actor[name] = Standing(
            count=was.count + 1,
            total=was.total + value,
            squares=was.squares + value * value,
        )
