"""Actors with a record, and proposals about them, for tests of `wg evolve`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.core import Core
from workgraph.graph import identity
from workgraph.graph.model import Actor, Record, Role, Tradeoff
from workgraph.graph.proposals import Proposal
from workgraph.graph.requests import AddTask
from workgraph.graph.reward_requests import RecordReward
from workgraph.store import identities, proposals

#: Room for all the tasks of a test at once.
WIDE = ("dispatcher.max_agents=200", 'executors.tool.argv=["tool"]')


def a_role(name: str = "builder", **fields: Any) -> Role:
    """A role with its id."""
    values: dict[str, Any] = {"description": "builds", "outcome": "It works."}
    values |= fields
    id_ = identity.role_id(
        description=values["description"],
        skills=values.get("skills", ()),
        outcome=values["outcome"],
    )
    return Role(id=id_, name=name, **values)


def a_tradeoff(name: str = "careful", **fields: Any) -> Tradeoff:
    """A tradeoff with its id."""
    values: dict[str, Any] = {"description": "careful", "reject": ("haste",)} | fields
    id_ = identity.tradeoff_id(
        description=values["description"],
        accept=values.get("accept", ()),
        reject=values["reject"],
    )
    return Tradeoff(id=id_, name=name, **values)


async def an_actor(
    core: Core,
    name: str,
    role: Role | None = None,
    tradeoff: Tradeoff | None = None,
    **fields: Any,
) -> Actor:
    """An actor that is in use, with its role and tradeoff."""
    role_id = None if role is None else role.id
    tradeoff_id = None if tradeoff is None else tradeoff.id
    actor = Actor(
        id=identity.actor_id(name=name, role=role_id, tradeoff=tradeoff_id),
        name=name,
        role=role_id,
        tradeoff=tradeoff_id,
        **fields,
    )

    def write(tx: Any) -> None:
        for one in (role, tradeoff, actor):
            if one is not None:
                identities.keep(tx, one)

    await core.store.transaction(write, core.clock.now())
    core.engine.wake()
    await core.settle()
    return actor


async def judged(
    core: Core,
    actor: str,
    scores: Sequence[float],
    skills: Sequence[str] = (),
    dimensions: Mapping[str, float] | None = None,
) -> None:
    """So many tasks that an actor has done, each with its score."""
    work = AddTask(title=f"of {actor}", exec="true", actor=actor, skill=tuple(skills))
    tasks: list[str] = [(await core.say(work)).data.id for _ in scores]
    await core.settle()
    for task in tasks:
        core.launcher.exit(await core.holder(task), code=0)
    await core.settle()
    for task, score in zip(tasks, scores, strict=True):
        dim = dict(dimensions or {})
        await core.say(RecordReward(task=task, score=None if dim else score, dim=dim))
    await core.settle()


async def proposals_of(core: Core) -> list[Proposal]:
    """All proposals."""
    return await core.store.read(proposals.every, core.clock.now())


async def living(core: Core) -> dict[str, Actor]:
    """The actors that are in use, by name."""
    found = await core.store.read(
        lambda tx: list(identities.every(tx, Actor)), core.clock.now()
    )
    return {
        one.identity.name: one.identity
        for one in found
        if isinstance(one.identity, Actor)
    }


async def kept(core: Core, type_: Any, id_: str) -> Any:
    """An identity by its id, in use or not."""
    return await core.store.read(
        lambda tx: identities.by_id(tx, type_, id_), core.clock.now()
    )


async def everything(core: Core) -> list[Record | tuple[Any, ...]]:
    """Every row of every table."""

    def read(tx: Any) -> list[Any]:
        tables = tx.all("select name from sqlite_schema where type = 'table'")
        return [
            (name, *row)
            for (name,) in tables
            for row in tx.all(f"select * from {name} order by 1, 2")
        ]

    return await core.store.read(read, core.clock.now())
