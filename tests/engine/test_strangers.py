"""A name that is no actor's is a person's, and that is told: it may be a slip."""

import pytest

from tests.core import Core, running_core
from tests.engine.judged import add_actor
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.reservations import ClaimTrajectory
from workgraph.graph.reward_requests import RecordReward

PERSON = "{} is no actor, so a person is meant"
SLIP = PERSON + ": did you mean {}?"


async def a_project(core: Core) -> None:
    """Two actors, and a task that waits."""
    await add_actor(core, "ann")
    await add_actor(core, "bob")
    await core.do(r.Pause())
    await core.add("t")


@pytest.mark.parametrize(
    "request_",
    [
        AssignTask(task="t", actor="anm"),
        r.AddTask(title="u", actor="anm"),
        r.EditTask(task="t", actor="anm"),
        r.ClaimTask(task="t", actor="anm"),
        ClaimTrajectory(task=("t",), actor="anm"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_a_slip_is_told_with_who_may_be_meant(request_: r.AnyRequest) -> None:
    """The rule stays: the name is kept as it was said."""
    async with running_core() as core:
        await a_project(core)

        reply = await core.do(request_)

        assert reply.notes[-1] == SLIP.format("anm", "ann")
        assert reply.exit_code == 0
        assert reply.data.actor == "anm"


async def test_who_gives_work_away_is_told_of_any_stranger() -> None:
    """Who takes it says their own name, and again and again."""
    async with running_core() as core:
        await a_project(core)

        given = await core.do(AssignTask(task="t", actor="zoe"))
        taken = await core.do(r.ClaimTask(task="t", actor="zoe"))

        assert given.notes == (PERSON.format("zoe"),)
        assert taken.notes == ()


@pytest.mark.parametrize("name", ["ann", "ada"])
async def test_nothing_is_told_of_who_is_known(name: str) -> None:
    """Machines and people alike."""
    async with running_core() as core:
        await a_project(core)
        await add_actor(core, "ada", human=True)

        assert (await core.do(AssignTask(task="t", actor=name))).notes == ()


async def test_a_source_that_looks_like_a_slip_is_told() -> None:
    """It is kept as a source of its own."""
    async with running_core() as core:
        await a_project(core)
        await core.do(r.ClaimTask(task="t", actor="ann"))
        await core.do(r.UnclaimTask(task="t"))

        slip = await core.do(RecordReward(task="t", score=0.5, source="opertor"))
        other = await core.do(RecordReward(task="t", score=0.5, source="lint"))

        told = "opertor is a source of its own: did you mean operator?"
        assert told in slip.notes
        assert slip.data.source == "opertor"
        assert not any("did you mean" in note for note in other.notes)
