"""Roles, tradeoffs and actors in a running core: versions, persons, who is woken."""

from typing import Any

import pytest

from tests.core import OPERATOR, Core, running_core
from workgraph.graph import identity_requests as q
from workgraph.graph import requests as r
from workgraph.graph.errors import (
    ConflictError,
    NotFoundError,
    UsageError,
    UserError,
)
from workgraph.graph.identity import actor_id, role_id, tradeoff_id
from workgraph.graph.messages import GetInbox

CODER = q.AddRole(name="coder", description="writes code", skill=("python", "sql"))
CAREFUL = q.AddTradeoff(name="careful", description="slow", reject=("no tests",))
ANN = q.AddActor(name="ann", role="coder", tradeoff="careful")


async def data(core: Core, request: r.AnyRequest) -> Any:
    """What is answered."""
    return (await core.do(request)).data


async def notes(core: Core, request: r.AnyRequest) -> tuple[str, ...]:
    """What is said besides."""
    return (await core.do(request)).notes


async def kinds(core: Core) -> list[tuple[str, str | None, str | None]]:
    """What the change log tells of identities."""
    return [
        (change.kind.removeprefix("identity_"), change.verb, change.reason)
        for change in await core.changes()
        if change.kind.startswith("identity_")
    ]


async def test_ids_come_from_content() -> None:
    """Whole in what is answered; an actor has its role's skills where it names none."""
    async with running_core() as core:
        role = await data(core, CODER)
        tradeoff = await data(core, CAREFUL)
        ann = await data(core, ANN)
        bob = await data(core, q.AddActor(name="bob", role="coder", skill=("c",)))

        assert role.id == role_id(
            description="writes code", skills=("sql", "python"), outcome=""
        )
        assert tradeoff.id == tradeoff_id(
            description="slow", accept=(), reject=("no tests",)
        )
        assert ann.id == actor_id(name="ann", role=role.id, tradeoff=tradeoff.id)
        assert (ann.role_name, ann.tradeoff_name) == ("coder", "careful")
        assert (ann.skills, bob.skills) == (("python", "sql"), ("c",))
        assert ann.record == q.RecordData(count=0, mean=None, low=None, high=None)
        assert (await data(core, q.ShowRole(role="coder"))).actors == ("ann", "bob")
        assert await kinds(core) == [
            ("added", "role", "coder"),
            ("added", "tradeoff", "careful"),
            ("added", "actor", "ann"),
            ("added", "actor", "bob"),
        ]


async def test_what_is_added_twice_is_there_once() -> None:
    """In whatever order its skills come; nothing is committed."""
    async with running_core() as core:
        for request in (CODER, CAREFUL, ANN):
            first = await data(core, request)
            again = await core.do(request)
            assert again.data == first
            assert "is so already" in again.notes[0]
        turned = q.AddRole(
            name="coder", description="writes code", skill=("sql", "python", "sql")
        )
        assert "is so already" in (await notes(core, turned))[0]
        assert len(await kinds(core)) == 3


async def test_other_content_is_the_next_version() -> None:
    """Its lineage names the one before; actors keep theirs and are named."""
    async with running_core() as core:
        first = await data(core, CODER)
        await core.do(q.AddActor(name="ann", role="coder"))
        reply = await core.do(
            q.AddRole(name="coder", description="writes better code", skill=("python",))
        )
        second = reply.data
        third = await data(core, q.EditRole(role="coder", add_skill=("rust",)))

        assert second.lineage.parents == (first.id,)
        assert second.lineage.by == OPERATOR.name
        assert [one.lineage.generation for one in (first, second, third)] == [0, 1, 2]
        assert reply.notes == (
            (
                f"ann still has the role as it was ({first.id[:8]}):"
                " wg actor edit ann --role coder"
            ),
        )
        assert (await data(core, q.ShowActor(actor="ann"))).role == first.id
        chain = await data(core, q.TraceRole(role="coder"))
        assert [one.id for one in chain] == [third.id, second.id, first.id]
        assert [bool(one.retired_at) for one in chain] == [False, True, True]
        listed = await data(core, q.ListRoles())
        assert [one.id for one in listed] == [third.id]
        assert len(await data(core, q.ListRoles(all=True))) == 3
        assert third.skills == ("python", "rust")


async def test_what_is_as_it_once_was_is_that_one() -> None:
    """With its id and its parents; a lineage that goes round is told once."""
    async with running_core() as core:
        first = await data(core, CAREFUL)
        other = q.EditTradeoff(tradeoff="careful", add_reject=("data loss",))
        second = await data(core, other)
        back = q.EditTradeoff(tradeoff="careful", remove_reject=("data loss",))

        again = await data(core, back)
        forth = await data(core, other)

        assert again == first
        assert forth == second
        chain = await data(core, q.TraceTradeoff(tradeoff="careful"))
        assert [one.id for one in chain] == [second.id, first.id]


async def test_an_actor_with_another_role_is_another_one() -> None:
    """What else changes of it keeps its id; what it then lacks is said."""
    async with running_core() as core:
        for request in (CODER, CAREFUL):
            await core.do(request)
        first = await data(core, q.AddActor(name="ann", skill=("python",)))
        same = await data(
            core, q.EditActor(actor="ann", trust="verified", capacity=3, model="m")
        )
        reply = await core.do(q.EditActor(actor="ann", role="coder"))
        free = await data(core, q.EditActor(actor="ann", role="", capacity=None))

        assert (same.id, same.trust, same.capacity) == (first.id, "verified", 3)
        assert reply.data.lineage.parents == (first.id,)
        assert (reply.data.trust, reply.data.model) == ("verified", "m")
        assert reply.notes == (
            (
                "the role coder has skills that ann has not:"
                " wg actor edit ann --add-skill sql"
            ),
        )
        assert (free.id, free.capacity, free.role) == (first.id, None, None)
        unchanged = await core.do(q.EditActor(actor="ann"))
        assert unchanged.notes == ("the actor ann is so already",)


@pytest.mark.parametrize(
    "other",
    [
        q.AddActor(name="ann"),
        q.AddActor(name="ann", role="coder", tradeoff="careful", capacity=1),
        q.AddActor(name="ann", role="coder", tradeoff="careful", human=True),
    ],
)
async def test_another_actor_of_that_name_is_a_conflict(other: q.AddActor) -> None:
    """Whether its identity differs or anything else; `edit` is what is meant."""
    async with running_core() as core:
        for request in (CODER, CAREFUL, ANN):
            await core.do(request)

        with pytest.raises(ConflictError) as caught:
            await core.do(other)

        assert caught.value.hint == "wg actor edit ann changes it"


async def test_a_name_and_a_content_are_there_once() -> None:
    """A role that is called otherwise is offered, and can be renamed in place."""
    async with running_core() as core:
        first = await data(core, CODER)
        await core.do(q.AddRole(name="tester", description="tests"))
        same = q.AddRole(name="dev", description="writes code", skill=("python", "sql"))
        with pytest.raises(ConflictError, match="the role 'coder' is the same"):
            await core.do(same)
        with pytest.raises(ConflictError, match="there is another role 'tester'"):
            await core.do(q.EditRole(role="coder", name="tester"))

        renamed = await data(core, q.EditRole(role="coder", name="dev"))

        assert (renamed.id, renamed.name) == (first.id, "dev")
        assert renamed.lineage == first.lineage
        assert "is so already" in (await notes(core, same))[0]


async def test_what_is_in_use_is_not_removed() -> None:
    """Roles and tradeoffs by an actor, an actor by its work."""
    async with running_core() as core:
        for request in (CODER, CAREFUL, ANN):
            await core.do(request)
        task = await core.add("t", actor="ann")
        refused: tuple[q.IdentityWrite, ...] = (
            q.RemoveRole(role="coder"),
            q.RemoveTradeoff(tradeoff="careful"),
            q.RemoveActor(actor="ann"),
            q.EditActor(actor="ann", name="anna"),
        )
        for one in refused:
            with pytest.raises(UserError, match="ann"):
                await core.do(one)
        await core.exit(task)

        await core.do(q.RemoveActor(actor="ann"))
        await core.do(q.RemoveRole(role="coder"))

        with pytest.raises(NotFoundError):
            await core.do(q.RemoveActor(actor="ann"))
        gone = await data(core, q.ShowActor(actor="ann"))
        assert gone.retired_at is not None
        assert gone.role_name == "coder"


async def test_what_was_removed_comes_back() -> None:
    """The same content is the same id, with what is said of it now."""
    async with running_core() as core:
        first = await data(core, q.AddActor(name="ann", capacity=2))
        await core.do(q.RemoveActor(actor="ann"))

        reply = await core.do(q.AddActor(name="ann", capacity=5))

        assert reply.data.id == first.id
        assert (reply.data.capacity, reply.data.retired_at) == (5, None)
        assert reply.notes == ("the actor ann was there before, and is in use again",)


async def test_tasks_of_a_removed_actor_wait() -> None:
    """They are named; they start when an actor of that name is there again."""
    async with running_core() as core:
        await core.do(q.AddActor(name="ann"))
        task = await core.add("t", actor="ann", paused=True)

        said = await notes(core, q.RemoveActor(actor="ann"))
        await core.do(r.Resume(task=task))
        parked = await core.why(task)
        await core.do(q.AddActor(name="ann"))

        assert said == (
            ("t is still assigned to ann, and waits: wg assign t --clear, or OTHER"),
        )
        assert parked == ["no_capable_actor"]
        assert await core.status(task) == "in-progress"


async def test_tasks_go_along_with_an_actors_name() -> None:
    """Those that are not over; a setting that names it is named."""
    async with running_core("agency.evaluator=ann") as core:
        await core.do(q.AddActor(name="ann", human=True))
        task = await core.add("t", actor="ann")
        old = await core.add("old", actor="ann")
        await core.do(r.FinishTask(task=old))

        said = await notes(core, q.EditActor(actor="ann", name="Anna B."))

        assert (await core.task(task)).actor == "Anna B."
        assert (await core.task(old)).actor == "ann"
        assert said == (
            (
                "the setting agency.evaluator still names ann:"
                " wg config set agency.evaluator OTHER"
            ),
        )
        remedy = (await core.task(task)).parked
        assert remedy is not None
        assert remedy.remedy.endswith("--actor 'Anna B.'")


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " a",
        "a\nb",
        "a\x1b[31m",
        "\u202ea",
        "-a",
        "agent-7",
        "f" * 64,
        "x" * 65,
    ],
)
async def test_what_can_be_no_name(name: str) -> None:
    """Of an actor, a role, a tradeoff; by `add` and by `edit`."""
    async with running_core() as core:
        await core.do(q.AddActor(name="ann"))
        for request in (
            q.AddActor(name=name),
            q.AddRole(name=name, description="d"),
            q.AddTradeoff(name=name, description="d"),
            q.EditActor(actor="ann", name=name),
        ):
            with pytest.raises(UserError, match="can't be the name of"):
                await core.do(request)


@pytest.mark.parametrize(
    "request_",
    [
        q.AddActor(name="bob", capacity=0),
        q.AddActor(name="bob", context_limit=-1),
        q.AddActor(name="bob", context_limit=10**16),
        q.AddActor(name="bob", usd_per_hour=-1.0),
        q.AddActor(name="bob", usd_per_hour=float("nan")),
        q.AddActor(name="bob", usd_per_hour=float("inf")),
    ],
)
async def test_numbers_that_make_no_sense(request_: q.AddActor) -> None:
    """A wrong usage."""
    async with running_core() as core:
        with pytest.raises(UsageError):
            await core.do(request_)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (q.AddRole(name="r", description=" "), "says what"),
        (q.AddTradeoff(name="t", description=""), "says how"),
        (q.AddRole(name="r", description="d", skill=("a\nb",)), "can't be a skill"),
        (q.AddActor(name="a", skill=(" a",)), "can't be a skill"),
        (q.AddActor(name="a", executor="x\ny"), "can't be the executor"),
        (q.AddActor(name="a", role="nobody"), "there is no role 'nobody'"),
        (q.AddActor(name="a", tradeoff="nobody"), "there is no tradeoff 'nobody'"),
        (
            q.AddTradeoff(name="t", description="d", accept=("x",), reject=("x",)),
            "both accepted and rejected",
        ),
    ],
)
async def test_what_can_not_be_said(request_: r.AnyRequest, words: str) -> None:
    """With words that name what is wrong."""
    async with running_core() as core:
        with pytest.raises(UserError, match=words):
            await core.do(request_)


async def test_an_executor_that_nobody_knows_is_told_of() -> None:
    """It may be a plug-in, so it is taken."""
    async with running_core() as core:
        said = await notes(core, q.AddActor(name="ann", executor="nobody"))

        assert len(said) == 1
        assert "wg executor list" in said[0]
        assert await notes(core, q.AddActor(name="bob", executor="codex")) == ()


async def test_starters_are_added_once() -> None:
    """What is there stays as it is; there is no actor for an office."""
    async with running_core() as core:
        own = q.AddTradeoff(name="quick", description="my own")
        mine = await data(core, own)
        first = await core.do(q.InitActors())
        again = await core.do(q.InitActors())

        names = [one.name for one in first.data.actors]
        assert "programmer" in names
        assert not {"evaluator", "assigner"} & set(names)
        assert "evaluator" in [one.name for one in first.data.roles]
        assert "wg config set agency.evaluator evaluator" in first.notes[0]
        empty: tuple[()] = ()
        assert again.data == q.StartersData(roles=empty, tradeoffs=empty, actors=empty)
        kept = await data(core, q.ShowTradeoff(tradeoff="quick"))
        assert kept.id == mine.id
        assert kept.actors == ("quick-programmer",)
        for one in first.data.actors:
            assert one.skills, one.name


async def test_a_role_that_has_another_name_by_now_is_not_added_again() -> None:
    """Nor the actors that would have it."""
    async with running_core() as core:
        await core.do(q.InitActors())
        await core.do(q.EditRole(role="writer", name="author"))
        await core.do(q.RemoveActor(actor="writer"))

        again = await data(core, q.InitActors())

        assert (again.roles, again.actors) == ((), ())


async def test_a_persons_task_is_offered_and_claimed() -> None:
    """Never started, also by `spawn`; anybody else's `next` passes it over."""
    async with running_core() as core:
        await core.do(q.AddActor(name="me", human=True))
        task = await core.add("t", actor="me")

        assert await core.why(task) == ["assigned_to_person"]
        [item] = await data(core, GetInbox(actor="me"))
        assert (item.kind, item.task) == ("assigned", task)
        assert item.commands == (f"wg claim {task} --actor me",)
        assert (await core.do(r.NextTask(actor="bob"))).exit_code == 1
        assert (await data(core, r.NextTask(actor="me"))).id == task
        taken = await data(core, r.NextTask(actor="me", claim=True))
        assert taken.status == "in-progress"
        [agent] = await core.agents(task)
        assert agent.human
        assert agent.actor_id == actor_id(name="me")
        assert core.launcher.orders == []
        with pytest.raises(UserError, match="it works on t"):
            await core.do(q.RemoveActor(actor="me"))
        await core.do(r.FinishTask(task=task))
        assert await core.status(task) == "done"


async def test_a_person_takes_no_work_from_anybody() -> None:
    """The first one there is least of all: what is for nobody is started."""
    async with running_core() as core:
        await core.do(q.AddActor(name="me", human=True))

        task = await core.add("t")

        assert await core.status(task) == "in-progress"
        [agent] = await core.agents(task)
        assert not agent.human


async def test_a_name_that_tasks_have_becomes_a_persons_or_a_machines() -> None:
    """By whichever is added; nothing is started for a person."""
    async with running_core() as core:
        first = await core.add("one", actor="bob")
        second = await core.add("two", actor="eve")

        await core.do(q.AddActor(name="bob", human=True))
        await core.do(q.AddActor(name="eve"))

        assert await core.why(first) == ["assigned_to_person"]
        assert await core.status(second) == "in-progress"
        parked = [c.task for c in await core.changes() if c.kind == "task_parked"]
        assert parked == [first, second]


async def test_a_person_that_becomes_a_machine_starts_its_tasks() -> None:
    """And the other way round what is not started yet waits for the person."""
    async with running_core() as core:
        await core.do(q.AddActor(name="bob", human=True))
        first = await core.add("one", actor="bob")
        assert await core.status(first) == "open"

        await core.do(q.EditActor(actor="bob", human=False))

        assert await core.status(first) == "in-progress"
        await core.exit(first)
        await core.do(q.EditActor(actor="bob", human=True))
        second = await core.add("two", actor="bob")
        assert await core.why(second) == ["assigned_to_person"]


async def test_nothing_is_looked_at_again_by_time() -> None:
    """A person's task has no moment: only an actor that changes has it looked at."""
    async with running_core() as core:
        await core.add("one", actor="bob")

        assert await core.next_moment() is None


async def test_the_beginning_of_an_id_is_a_name_everywhere() -> None:
    """Tasks keep the name."""
    async with running_core("dispatcher.max_agents=0") as core:
        bot = await data(core, q.AddActor(name="bot"))
        digits = bot.id[:8]
        task = await core.add("t", actor=digits)

        assert (await core.task(task)).actor == "bot"
        assert [one.id for one in await data(core, r.ListTasks(actor=digits))] == [task]
        claimed = await data(core, r.ClaimTask(task=task, actor=digits))
        assert claimed.actor == "bot"
        shown = await data(core, q.ShowActor(actor=bot.id[:2].upper()))
        assert shown.id == bot.id


async def test_hostile_names_and_texts_stay_data() -> None:
    """In notes and remedies, too."""
    async with running_core() as core:
        role = q.AddRole(name="it's; rm -rf /", description="$(id)\n</actor>\n# rules")
        await core.do(role)
        await core.do(q.AddActor(name="a b", role=role.name))

        said = await notes(core, q.EditRole(role=role.name, description="other"))

        assert said[0].endswith("wg actor edit 'a b' --role 'it'\"'\"'s; rm -rf /'")
        assert (await data(core, q.ShowRole(role=role.name))).name == role.name
