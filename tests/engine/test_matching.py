"""`wg match` over a graph: who could do a task, how they stand, the last choice."""

import json
from functools import partial
from typing import Any

import pytest

from tests.core import Core
from tests.core import running_core as a_core
from workgraph.commands.context import Caller
from workgraph.commands.matching import match_actors
from workgraph.commands.render import Style, render
from workgraph.graph import identity
from workgraph.graph.errors import NotFoundError
from workgraph.graph.match_requests import ChosenData, MatchActors, MatchData
from workgraph.graph.model import Actor
from workgraph.graph.replies import Reply
from workgraph.store.database import Tx
from workgraph.store.identities import insert_actor

KEEP_CHOICE = """
insert into choices (task, attempt, actor, propensity, greedy, candidates, at)
values (?, ?, ?, ?, ?, ?, ?)
"""

#: A graph without the actor that `wg init` makes.
running_core = partial(a_core, has_default=False)


async def add_actor(core: Core, name: str, **fields: Any) -> None:
    """An actor without a role."""
    id_ = identity.actor_id(name=name, role=None, tradeoff=None)
    actor = Actor(id=id_, name=name, **fields)
    await core.store.transaction(lambda tx: insert_actor(tx, actor), core.clock.now())


async def ask(core: Core, task: str, size: int | None = None) -> Reply:
    """What `wg match` answers; a prompt takes so many tokens."""
    return await core.engine.read(
        lambda context: match_actors(
            context, MatchActors(task=task), lambda _tx, _task: size
        ),
        Caller(name="me"),
    )


async def matched(core: Core, task: str, size: int | None = None) -> list[MatchData]:
    """The actors, the best first."""
    return list((await ask(core, task, size)).data)


async def test_every_actor_is_shown_with_its_score_or_the_reason() -> None:
    """The best first, who can't do it last."""
    async with running_core('agency.evaluator="eva"') as core:
        await add_actor(core, "ann", human=True, skills=("sql",))
        await add_actor(core, "eva", skills=("*",))
        await add_actor(core, "bob", skills=("css",))
        await add_actor(core, "cyd", skills=("sql", "css"), trust="verified")
        await add_actor(core, "dee", skills=("sql",))
        job = await core.add(
            "Job", skill=("sql",), prefer=("css",), complexity="complex"
        )

        found = await matched(core, job)

    assert [(one.actor, one.capable, one.reason) for one in found] == [
        ("cyd", True, None),
        ("dee", True, None),
        ("eva", True, "it judges or assigns: it is assigned by people alone"),
        (
            "ann",
            True,
            "a person takes work by wg claim, or is assigned by wg assign",
        ),
        ("bob", False, "it lacks sql"),
    ]
    assert found[0].parts["preferred"] == 0.25
    assert found[1].parts["complexity"] == -0.25
    assert found[0].greedy
    assert sum(one.propensity for one in found) == 1.0
    assert sum(one.chosen for one in found) == 1
    assert found[-1].missing == ("sql",)


async def test_who_works_on_as_much_as_it_may_is_busy() -> None:
    """Its live agents count against its capacity."""
    async with running_core() as core:
        await add_actor(core, "ada", skills=("*",), capacity=1)
        await add_actor(core, "bob", skills=("*",))
        await core.add("One", id="one", actor="ada", executor="claude")
        job = await core.add("Job", paused=True)

        found = await matched(core, job)

    assert [(one.actor, one.busy, one.propensity) for one in found] == [
        ("bob", False, 1.0),
        ("ada", True, 0.0),
    ]


async def test_a_prompt_that_would_be_cut_speaks_against_a_small_limit() -> None:
    """The limit less the reserve; who has none is told all."""
    async with running_core("context.reserve=1000") as core:
        await add_actor(core, "ada", context_limit=5000)
        await add_actor(core, "bob")
        job = await core.add("Job")

        bob, ada = await matched(core, job, 8000)

    assert (ada.parts["context"], bob.parts["context"]) == (-0.25, 0.0)
    assert "context" in bob.unknown


async def test_the_last_choice_that_was_kept_is_shown() -> None:
    """With the actor that it fell on."""
    async with running_core("dispatcher.max_agents=0") as core:
        await add_actor(core, "ada")
        await add_actor(core, "bob")
        job = await core.add("Job")
        at = core.clock.now()

        def keep(tx: Tx) -> None:
            for attempt, actor, chance, other in (
                (1, "ada", 0.5, "bob"),
                (2, "bob", 0.25, "ada"),
            ):
                found = [
                    {"actor": actor, "capable": True, "propensity": chance},
                    {"actor": other, "capable": True, "propensity": 1 - chance},
                ]
                said = (job, attempt, actor, chance, other, json.dumps(found), at)
                tx.run(KEEP_CHOICE, said)

        await core.store.transaction(keep, at)
        reply = await ask(core, job)

    by_name = {one.actor: one for one in reply.data}
    last = by_name["bob"].last
    assert by_name["ada"].last is None
    assert isinstance(last, ChosenData)
    assert (last.attempt, last.propensity, last.greedy) == (2, 0.25, "ada")
    shown = render(MatchActors(task=job, explain=True), reply, Style())
    assert "attempt 2 went to bob, chosen with 25 %" in shown
    assert "the best known was ada" in shown


async def test_an_assigned_task_says_that_matching_is_not_asked() -> None:
    """What is shown then is what would come of it."""
    async with running_core() as core:
        await add_actor(core, "ada", human=True)
        job = await core.add("Job", actor="ada")

        reply = await ask(core, job)

    assert reply.notes == (
        f"nobody can be given {job} now",
        f"{job} is assigned to ada: matching is not asked (wg assign {job} --clear)",
    )


async def test_a_name_can_not_write_to_the_terminal() -> None:
    """Names of actors are escaped like all that is said by others."""
    async with running_core() as core:
        await add_actor(core, "ada\x1b[2J")
        await add_actor(core, "bob\n")
        job = await core.add("Job")
        reply = await ask(core, job)

    for explain in (False, True):
        shown = render(MatchActors(task=job, explain=explain), reply, Style())
        assert "\x1b" not in shown
        assert all(line.strip() for line in shown.splitlines())


async def test_a_task_that_is_not_there_is_an_error() -> None:
    """As with all that is asked of a task."""
    async with running_core() as core:
        with pytest.raises(NotFoundError, match="nope"):
            await ask(core, "nope")
