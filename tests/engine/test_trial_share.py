"""A changed actor on trial gets its share by matching, and nothing by itself."""

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.core import OPERATOR, Core, running_core
from tests.engine.evolved import WIDE, a_role, an_actor, judged, living, proposals_of
from workgraph.commands.render import Style, render
from workgraph.daemon.assigning import take_assignment
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.special import Identity, Special
from workgraph.graph import requests as r
from workgraph.graph.identity_requests import EditActor
from workgraph.graph.match_requests import MatchActors, MatchData
from workgraph.graph.proposals import (
    Becomes,
    Evolve,
    Proposal,
    ProposalStatus,
    ReviewProposal,
)
from workgraph.graph.replies import Reply
from workgraph.store import errands, proposals, views
from workgraph.store.database import Tx

WEAK = {"correctness": 0.9, "completeness": 0.3}
RUST = ("rust",)
BOSS = frozenset({"boss"})


async def bob_and_its_child(core: Core, **fields: Any) -> None:
    """An actor whose record asks for a change, and the changed one on trial."""
    await an_actor(core, "bob", a_role(), skills=RUST)
    await judged(core, "bob", [0.0] * 20, RUST, WEAK)
    await core.advance(1)
    if fields:
        await core.do(EditActor(actor="bob", **fields))
    await core.do(Evolve())
    assert "bob-2" in await living(core)


async def goes_to(core: Core, task: str) -> str | None:
    """Who works on a task; null: it waits."""
    agents = await core.agents(task)
    return agents[-1].actor if agents else None


async def given(core: Core, count: int, at_once: int = 50) -> Counter[str | None]:
    """To whom so many tasks go, of which some are done at the same time."""
    found: Counter[str | None] = Counter()
    for _ in range(0, count, at_once):
        added = [
            await core.say(r.AddTask(title="t", exec="true", skill=RUST))
            for _ in range(at_once)
        ]
        await core.settle()
        for one in added:
            found[await goes_to(core, one.data.id)] += 1
            core.launcher.exit(await core.holder(one.data.id), code=0)
        await core.settle()
    return found


async def matched(core: Core, folder: Path, task: str) -> Reply:
    """What a daemon answers to `wg match`."""
    configuration = Configuration.load(folder, {"HOME": str(folder)}, ())
    identity = Identity(pid=1, since=0, socket="/s", wg_dir=folder)
    special = Special(core.engine, configuration, identity, lambda: None)
    request = MatchActors(task=task, explain=True)
    handler = special.handler_for(request)
    assert handler is not None
    reply: Reply = await handler(request, OPERATOR)
    return reply


async def match_of(core: Core, folder: Path, task: str) -> dict[str, MatchData]:
    """The same, by the actors' names."""
    return {one.actor: one for one in (await matched(core, folder, task)).data}


async def finish(core: Core, *tasks: str) -> None:
    """Ends the agents of tasks."""
    for task in tasks:
        core.launcher.exit(await core.holder(task), code=0)
    await core.settle()


async def test_it_gets_its_share_of_what_goes_to_its_parent() -> None:
    """A fifth, whoever else there is; the choices are kept with their chances."""
    async with running_core(*WIDE) as core:
        await an_actor(core, "ann", skills=RUST)
        await bob_and_its_child(core)

        found = await given(core, 200)

        assert found["default"] == 0
        assert found["ann"] < 30
        both = found["bob"] + found["bob-2"]
        assert 0.12 < found["bob-2"] / both < 0.28
        kept = await core.store.read(
            lambda tx: tx.all("select propensity from choices where actor = 'bob-2'"), 0
        )
        assert len(kept) == found["bob-2"]
        assert all(0.1 < chance <= 0.2 for (chance,) in kept)


async def test_beside_its_parent_alone_it_gets_its_share_too() -> None:
    """There is a choice between two, though but one may be chosen by itself."""
    async with running_core(*WIDE) as core:
        await bob_and_its_child(core)

        found = await given(core, 100)

        assert set(found) == {"bob", "bob-2"}
        assert 10 < found["bob-2"] < 32


async def test_while_its_parent_has_no_room_it_gets_nothing() -> None:
    """What goes to others is theirs; who can do it as the last one comes first."""
    async with running_core(*WIDE) as core:
        await an_actor(core, "ann", skills=RUST, capacity=1)
        await bob_and_its_child(core, capacity=1)
        at_bob = await core.add("long", actor="bob")

        assert await given(core, 10, at_once=1) == {"ann": 10}

        at_ann = await core.add("long", actor="ann")
        assert await given(core, 10, at_once=1) == {"default": 10}
        await finish(core, at_bob, at_ann)


async def test_what_it_alone_has_room_for_waits_for_the_others() -> None:
    """With the usual reason, without looking again and again; then it starts."""
    async with running_core(*WIDE, has_default=False) as core:
        await bob_and_its_child(core, capacity=1)
        at_bob = await core.add("long", actor="bob")
        moment = await core.next_moment()

        task = await core.add("t", skill=RUST)

        assert await goes_to(core, task) is None
        (reason,) = (await core.do(r.ExplainTask(task=task))).data.reasons
        assert reason.code == "actor_busy"
        assert "bob, which could do it, works on 1 now" in reason.message
        assert await core.next_moment() == moment
        told = len(await core.changes())
        core.engine.wake()
        await core.settle()
        assert len(await core.changes()) == told
        await core.exit(at_bob)
        assert await goes_to(core, task) in {"bob", "bob-2"}


async def test_what_it_alone_can_do_waits_for_somebody_who_may() -> None:
    """As where nobody can: nothing will start by itself."""
    settings = (*WIDE, "agency.evaluator=bob")
    async with running_core(*WIDE, has_default=False) as core:
        await bob_and_its_child(core)
        await an_actor(core, "ann", skills=("css",))
        store, clock, launcher = core.store, core.clock, core.launcher
        async with running_core(
            *settings, store=store, clock=clock, launcher=launcher, has_default=False
        ) as again:
            task = await again.add("t", skill=RUST)

            (reason,) = (await again.do(r.ExplainTask(task=task))).data.reasons
            assert reason.code == "no_capable_actor"
            assert "bob-2 could, and what is on trial is not chosen" in reason.message
            assert f"wg assign {task} bob-2" in reason.remedy
            officials = frozenset({"bob"})
            assert await again.store.read(
                lambda tx: views.is_idle(tx, 10, officials), again.clock.now()
            )
            await judged(again, "bob", [0.5] * 12, RUST)
            await judged(again, "bob-2", [0.9] * 12, RUST)
            assert await goes_to(again, task) is None

            await again.do(ReviewProposal(id=1, verdict="approve"))

            assert await goes_to(again, task) == "bob-2"


async def test_an_assigner_gives_it_nothing_but_its_share() -> None:
    """It is not told of it and may not name it; of what bob is given it gets some."""
    settings = (*WIDE, "agency.auto_assign=actor", "agency.assigner=boss")
    async with running_core(*settings) as core:
        await an_actor(core, "boss")
        await bob_and_its_child(core)
        for _ in range(40):
            await core.say(r.AddTask(title="t", exec="true", skill=RUST))
        await core.settle()
        prompts = [one.files.get("prompt.md", "") for one in core.launcher.orders]
        told = [one for one in prompts if "===== assignment\n" in one]
        assert told
        assert all("===== actor\nbob\n" in one for one in told)
        assert not any("bob-2" in one for one in told)

        def take(tx: Tx) -> None:
            for (task,) in tx.all("select task from errands where kind = 'assignment'"):
                errand = errands.find(tx, task)
                assert errand is not None
                said = take_assignment(tx, errand, {"actor": "bob-2"}, BOSS)
                assert said == "bob-2 is on trial: it gets a share of its parent's work"
                assert take_assignment(tx, errand, {"actor": "bob"}, BOSS) is None

        await core.store.transaction(take, core.clock.now())

        found = await core.store.read(
            lambda tx: tx.all(
                "select actor, count(*) from tasks where actor_matched = 1 group by 1"
            ),
            0,
        )
        shares: dict[str, int] = dict(found)
        assert shares["bob"] + shares["bob-2"] == 40
        assert 2 < shares["bob-2"] < 15


async def test_a_child_that_is_promoted_is_an_actor_like_any_other(
    tmp_path: Path,
) -> None:
    """All that its parent would have got, and no share of anybody's."""
    async with running_core(*WIDE) as core:
        await bob_and_its_child(core)
        await judged(core, "bob", [0.5] * 12, RUST)
        await judged(core, "bob-2", [0.9] * 12, RUST)
        assert [one.status for one in await proposals_of(core)] == ["promoted"]

        assert await given(core, 20, at_once=20) == {"bob-2": 20}

        task = await core.add("t", skill=RUST, paused=True)
        found = await match_of(core, tmp_path, task)
        assert set(found) == {"bob-2", "default"}
        assert (found["bob-2"].reason, found["bob-2"].propensity) == (None, 1.0)


async def test_after_a_trial_that_ends_otherwise_all_is_its_parents(
    tmp_path: Path,
) -> None:
    """Nothing is left of it."""
    async with running_core(*WIDE) as core:
        await bob_and_its_child(core)
        await core.do(ReviewProposal(id=1, verdict="reject"))

        assert await given(core, 20, at_once=20) == {"bob": 20}

        task = await core.add("t", skill=RUST, paused=True)
        assert set(await match_of(core, tmp_path, task)) == {"bob", "default"}


async def test_match_says_who_is_on_trial(tmp_path: Path) -> None:
    """With the share, and of whose work; people read the same."""
    async with running_core(*WIDE) as core:
        await bob_and_its_child(core)
        task = await core.add("t", skill=RUST, paused=True)

        reply = await matched(core, tmp_path, task)

        found = {one.actor: one for one in reply.data}
        says = "it is on trial: it gets 20% of what goes to bob"
        child = found["bob-2"]
        assert (child.capable, child.busy, child.reason) == (True, False, says)
        assert (found["bob"].propensity, child.propensity) == (0.8, 0.2)
        assert found["bob"].greedy
        shown = render(MatchActors(task=task, explain=True), reply, Style())
        assert says in shown


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_what_match_explains_is_what_is_done(tmp_path: Path) -> None:
    """Over 200 tasks of many kinds, with some busy and one on trial."""
    random, running = Random(6), list[str]()
    gone = Counter[str | None]()
    async with running_core(*WIDE, "agency.explore=0.5") as core:
        await an_actor(core, "ann", skills=("rust", "css"), trust="verified")
        await an_actor(core, "cyd", skills=("css",), capacity=3)
        await an_actor(core, "dee", skills=RUST, context_limit=40_000, usd_per_hour=3)
        await bob_and_its_child(core, capacity=2)
        for skill in ("rust", "css"):
            await judged(core, "ann", [0.6, 0.7, 0.5], (skill,))
        tasks = [(await core.say(a_task(random))).data.id for _ in range(200)]
        for number, task in enumerate(tasks):
            found = await match_of(core, tmp_path, task)
            chosen = [name for name, one in found.items() if one.chosen]

            await core.do(r.Resume(task=task))

            assert chosen == [await goes_to(core, task)]
            gone.update(chosen)
            running.append(task)
            if number % 8 == 0:
                random.shuffle(running)
                await finish(core, *running[4:])
                del running[4:]
        await finish(core, *running)
    assert set(gone) == {"ann", "bob", "bob-2", "cyd", "dee"}


def a_task(random: Random) -> r.AddTask:
    """One that waits to be resumed, of whatever kind."""
    return r.AddTask(
        title="t",
        exec="true",
        skill=random.choice((RUST, ("css",), ("rust", "css"), ())),
        prefer=random.choice(((), ("css",))),
        complexity=random.choice(("simple", "moderate", "complex")),
        paused=True,
    )


@pytest.mark.parametrize("name", ["bob", "bob-2"])
async def test_a_trial_ends_when_one_of_both_becomes_a_person(name: str) -> None:
    """Nothing is given to a person by itself, so it would go on for ever."""
    async with running_core(*WIDE) as core:
        await bob_and_its_child(core)

        await core.do(EditActor(actor=name, human=True))

        (proposal,) = await proposals_of(core)
        assert proposal.status == "retired"
        assert proposal.result is not None
        assert "person" in proposal.result
        assert "bob-2" not in await living(core)


@pytest.mark.parametrize("parent", ["default", "ann"])
async def test_a_trial_that_gets_no_work_ends_at_once(parent: str) -> None:
    """Of the last resort, or without a share: an import may bring such."""
    async with running_core(*WIDE) as core:
        ann = await an_actor(core, "ann", skills=RUST)
        both = await living(core)
        child = await an_actor(core, f"{parent}-2", skills=RUST)
        proposal = Proposal(
            number=1,
            kind="role",
            subject=both[parent].id,
            change=Becomes(outcome="It works."),
            reason="an older one",
            by="me",
            status=ProposalStatus.TRIAL,
            created_at=core.clock.now(),
            started_at=core.clock.now(),
            child=child.id,
            share=0.0 if parent == ann.name else 0.2,
        )
        await core.store.transaction(
            lambda tx: proposals.insert(tx, [proposal]), core.clock.now()
        )

        await core.add("t")

        (ended,) = await proposals_of(core)
        assert ended.status == "retired"
        assert ended.result
        assert parent in await living(core)
        assert child.name not in await living(core)
