"""Changes to who does the work: proposed from the record, tried, promoted or not."""

import json
from functools import partial
from typing import Any

import pytest
from msgspec import structs

from tests.core import Core
from tests.core import running_core as a_core
from tests.engine.evolved import (
    WIDE,
    a_role,
    a_tradeoff,
    an_actor,
    everything,
    judged,
    kept,
    living,
    proposals_of,
)
from tests.engine.judged import answer
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.graph.errors import ConflictError, ForbiddenError, NotFoundError
from workgraph.graph.model import Actor, Role
from workgraph.graph.proposals import (
    Evolve,
    ListProposals,
    ProposalStatus,
    ReviewProposal,
    ShowProposal,
)
from workgraph.graph.remedies import REMEDIES
from workgraph.store import identities, proposals
from workgraph.store.database import Store, Tx

WEAK = {"correctness": 0.9, "completeness": 0.3}
#: A graph without the actor that `wg init` makes.
running_core = partial(a_core, has_default=False)
EVOLVER = (*WIDE, "agency.evolver=eve", "dispatcher.executor=tool")


async def weak_actor(core: Core, name: str = "bob", **fields: Any) -> Actor:
    """An actor whose work is judged, and not complete."""
    actor = await an_actor(core, name, a_role(), **fields)
    await judged(core, name, [0.0] * 20, dimensions=WEAK)
    await core.advance(1)
    return actor


async def approve(core: Core, number: int) -> Any:
    """Says yes."""
    return (await core.do(ReviewProposal(id=number, verdict="approve"))).data


async def test_a_better_child_takes_its_parents_place() -> None:
    """From the record to a promotion, with nobody saying anything in between."""
    async with running_core(*WIDE) as core:
        bob = await weak_actor(core)
        assigned = await core.add("later", actor="bob", paused=True)

        reply = await core.do(Evolve())

        (one,) = reply.data.proposals
        assert (one.kind, one.status, one.child) == ("role", "trial", "bob-2")
        child = (await living(core))["bob-2"]
        assert child.lineage.parents == (bob.id,)
        assert child.lineage.generation == 1
        role = (await kept(core, Role, child.role or "")).identity
        remedy = REMEDIES["completeness"].outcome
        assert (role.name, role.outcome) == ("builder-2", f"It works. {remedy}")
        assert role.lineage.parents == (bob.role,)
        found = await core.store.read(proposals.trials, 0)
        assert found == {child.id: (bob.id, 0.2)}

        await judged(core, "bob", [0.5] * 12)
        await judged(core, "bob-2", [0.9] * 11)
        assert "bob" in await living(core)
        await judged(core, "bob-2", [0.9])

        (proposal,) = await proposals_of(core)
        assert proposal.status == "promoted"
        (look,) = proposal.looks
        assert (look.child_count, look.child_mean) == (12, 0.9)
        assert (look.parent_count, look.parent_mean) == (12, 0.5)
        assert look.probability > 0.995
        assert set(await living(core)) == {"bob-2"}
        assert (await core.task(assigned)).actor == "bob-2"
        told = [c for c in await core.changes() if c.kind.startswith("proposal_")]
        assert [c.to for c in told] == ["proposed", "trial", "promoted"]
        assert {c.actor for c in told} == {"bob"}


async def test_a_worse_child_goes_and_its_tasks_go_back() -> None:
    """With the role that was made for it; the same is not proposed at once again."""
    async with running_core(*WIDE) as core:
        bob = await weak_actor(core)
        await core.do(Evolve())
        child = (await living(core))["bob-2"]
        assigned = await core.add("later", actor="bob-2", paused=True)

        await judged(core, "bob", [0.8] * 12)
        await judged(core, "bob-2", [0.3] * 12)

        (proposal,) = await proposals_of(core)
        assert proposal.status == "retired"
        assert "not shown to be better" in (proposal.result or "")
        assert set(await living(core)) == {"bob"}
        assert (await core.task(assigned)).actor == "bob"
        assert (await kept(core, Role, child.role or "")).retired_at is not None
        assert (await kept(core, Role, bob.role or "")).retired_at is None
        again = await core.do(Evolve())
        assert [one.kind for one in again.data.proposals] == ["tradeoff"]


async def test_a_trial_that_shows_nothing_goes_on() -> None:
    """The look is kept; until the last one."""
    async with running_core(*WIDE) as core:
        await weak_actor(core)
        await core.do(Evolve())
        await judged(core, "bob", [0.5, 0.7] * 10)

        await judged(core, "bob-2", [0.5, 0.7] * 7)
        (proposal,) = await proposals_of(core)
        assert (proposal.status, len(proposal.looks)) == ("trial", 1)
        await judged(core, "bob-2", [0.5, 0.7] * 17)

        (proposal,) = await proposals_of(core)
        assert [look.child_count for look in proposal.looks] == [12, 24, 48]
        assert proposal.status == "retired"


async def test_only_work_begun_since_counts_of_the_parent() -> None:
    """Where there is enough of it: it may have been worse, or better, before."""
    async with running_core(*WIDE) as core:
        await an_actor(core, "bob", a_role())
        await judged(core, "bob", [1.0] * 15, dimensions={"correctness": 1.0})
        await judged(core, "bob", [0.0] * 15, dimensions=WEAK)
        await core.advance(1)
        await core.do(Evolve())
        await judged(core, "bob", [0.2] * 11)

        await judged(core, "bob-2", [0.8] * 12)

        (proposal,) = await proposals_of(core)
        assert proposal.looks[0].parent_count == 11
        assert proposal.looks[0].parent_mean == 0.2


async def test_a_dry_run_changes_nothing() -> None:
    """Not a row; and it says what would be."""
    async with running_core(*WIDE, "agency.evolver=eve") as core:
        await an_actor(core, "eve")
        await weak_actor(core)
        before = await everything(core)

        reply = await core.do(Evolve(dry_run=True))

        assert await everything(core) == before
        assert reply.data.dry_run
        (one,) = reply.data.proposals
        assert (one.id, one.status, one.subject) == (None, "proposed", "bob")
        real = await core.do(Evolve())
        assert real.data.proposals[0].change == one.change


async def test_nothing_comes_of_it_twice() -> None:
    """While a trial goes on there is nothing new about its actor."""
    async with running_core(*WIDE) as core:
        await weak_actor(core)
        await core.do(Evolve())

        reply = await core.do(Evolve())

        assert reply.data.proposals == ()
        assert len(await proposals_of(core)) == 1


async def test_who_is_outdone_is_retired_at_once() -> None:
    """What was to be its work is anybody's."""
    async with running_core(*WIDE) as core:
        await an_actor(core, "ann", skills=("rust",))
        await an_actor(core, "bob", skills=("rust",))
        await judged(core, "ann", [0.9] * 20, ["rust"])
        await judged(core, "bob", [0.2] * 20, ["rust"])
        assigned = await core.add("later", actor="bob", paused=True)

        reply = await core.do(Evolve())

        (one,) = reply.data.proposals
        assert (one.kind, one.status) == ("retire", "retired")
        assert set(await living(core)) == {"ann"}
        assert (await core.task(assigned)).actor is None


async def test_a_skill_is_kept_where_nobody_else_has_it_any_more() -> None:
    """Whoever was better may be gone when the trial ends."""
    async with running_core(*WIDE) as core:
        ann = await an_actor(core, "ann", skills=("rust",))
        await an_actor(core, "bob", skills=("rust", "docs"))
        await judged(core, "ann", [0.9] * 20, ["rust"])
        await judged(core, "bob", [0.2] * 20, ["rust"])
        await judged(core, "bob", [0.8] * 20, ["docs"])
        reply = await core.do(Evolve())
        assert reply.data.proposals[0].change.skills == ("docs",)
        await core.store.transaction(
            lambda tx: tx.run(
                "update identities set retired_at = 1 where id = ?", (ann.id,)
            ),
            core.clock.now(),
        )

        await judged(core, "bob", [0.2] * 12, ["rust"])
        await judged(core, "bob-2", [0.9] * 12, ["docs"])

        (proposal,) = await proposals_of(core)
        assert proposal.status == "retired"
        assert "nobody else could do rust" in (proposal.result or "")
        assert set(await living(core)) == {"bob"}


@pytest.mark.parametrize("official", ["assigner", "evaluator", "evolver"])
async def test_what_would_change_an_official_waits_for_a_person(official: str) -> None:
    """Nothing but a yes lets it pass; then the setting still names it."""
    async with running_core(*WIDE, f"agency.{official}=bob") as core:
        bob = await weak_actor(core)

        reply = await core.do(Evolve())

        (one,) = reply.data.proposals
        assert one.status == "waiting"
        for _ in range(2):
            again = await core.do(Evolve())
            assert again.data.proposals == ()
            await core.advance(3600)
        assert (await living(core))["bob"] == bob
        assert len(await living(core)) == 1
        listed = (await core.do(ReviewProposal())).data
        assert [entry.id for entry in listed] == [1]

        done = await approve(core, 1)

        assert (done.status, done.approved_by) == ("promoted", "me")
        now = (await living(core))["bob"]
        assert now.id != bob.id
        assert now.lineage.parents == (bob.id,)
        assert (await kept(core, Actor, bob.id)).retired_at is not None
        assert (await core.do(ReviewProposal())).data == ()


async def test_a_role_that_the_evaluator_shares_waits_too() -> None:
    """Approved, it is tried as any other; rejected, it is not proposed again."""
    async with running_core(*WIDE, "agency.evaluator=eva") as core:
        await an_actor(core, "eva", a_role())
        await weak_actor(core)

        (one,) = (await core.do(Evolve())).data.proposals
        assert (one.subject, one.status) == ("bob", "waiting")
        done = await approve(core, 1)
        assert (done.status, done.child) == ("trial", "bob-2")
        no = ReviewProposal(id=1, verdict="reject", reason="too long")
        done = (await core.do(no)).data

        assert (done.status, done.result) == ("rejected", "rejected by me: too long")
        assert set(await living(core)) == {"eva", "bob"}
        with pytest.raises(ConflictError, match="1 is rejected"):
            await core.do(no)
        with pytest.raises(ConflictError, match="1 is rejected"):
            await approve(core, 1)


async def test_a_child_of_an_official_waits_with_what_it_has_shown() -> None:
    """The test is passed, and a person has the last word all the same."""
    store, clock, launcher = await Store.open(":memory:"), FakeClock(), FakeLauncher()
    async with running_core(*WIDE, store=store, clock=clock, launcher=launcher) as core:
        await weak_actor(core)
        await core.do(Evolve())
        await judged(core, "bob", [0.5] * 12)
    settings = (*WIDE, "agency.evaluator=bob")
    async with running_core(
        *settings, store=store, clock=clock, launcher=launcher
    ) as core:
        await judged(core, "bob-2", [0.9] * 12)

        (proposal,) = await proposals_of(core)
        assert proposal.status == "waiting"
        assert len(proposal.looks) == 1
        assert set(await living(core)) == {"bob", "bob-2"}
        trials = await core.store.read(proposals.trials, 0)
        assert set(trials) == {proposal.child}

        done = await approve(core, 1)
        assert done.status == "promoted"
    await store.close()


async def test_without_a_share_no_trial_begins() -> None:
    """It would never end; it begins when there is one."""
    store, clock, launcher = await Store.open(":memory:"), FakeClock(), FakeLauncher()
    held = (*WIDE, "agency.trial_share=0")
    async with running_core(*held, store=store, clock=clock, launcher=launcher) as core:
        await weak_actor(core)
        reply = await core.do(Evolve())
        assert reply.data.proposals[0].status == "proposed"
        assert reply.notes == ("agency.trial_share is 0: no trial begins",)
    async with running_core(*WIDE, store=store, clock=clock, launcher=launcher) as core:
        reply = await core.do(Evolve())
        assert [(one.id, one.status) for one in reply.data.proposals] == [(1, "trial")]
    await store.close()


async def test_what_comes_second_begins_when_the_first_is_over() -> None:
    """One trial of an actor at a time, whoever proposes."""
    async with running_core(*EVOLVER) as core:
        await an_actor(core, "eve")
        await weak_actor(core)
        await core.do(Evolve())
        wish = {"kind": "role", "actor": "bob", "change": {"outcome": "Praise."}}
        await answer(core, ".evolve-1", {"proposals": [wish, wish]})
        assert [one.status for one in await proposals_of(core)] == ["trial", "proposed"]

        await core.do(ReviewProposal(id=1, verdict="reject"))

        assert [one.status for one in await proposals_of(core)] == ["rejected", "trial"]
        assert set(await living(core)) == {"eve", "bob", "bob-3"}


async def test_a_child_that_was_removed_meanwhile_takes_no_place() -> None:
    """Whoever says yes is told so."""
    async with running_core(*WIDE) as core:
        await weak_actor(core)
        await core.do(Evolve())
        (proposal,) = await proposals_of(core)

        def remove(tx: Tx) -> None:
            waiting = structs.replace(proposal, status=ProposalStatus.WAITING)
            proposals.update(tx, waiting)
            identities.retire(tx, proposal.child or "")

        await core.store.transaction(remove, core.clock.now())

        done = await approve(core, 1)

        assert done.status == "retired"
        assert "the changed actor is not in use any more" in done.result
        assert set(await living(core)) == {"bob"}


async def test_a_parent_that_is_changed_ends_the_trial() -> None:
    """There is nothing left to compare."""
    async with running_core(*WIDE) as core:
        bob = await weak_actor(core)
        await core.do(Evolve())
        await core.store.transaction(
            lambda tx: tx.run(
                "update identities set retired_at = 1 where id = ?", (bob.id,)
            ),
            core.clock.now(),
        )
        core.engine.wake()
        await core.settle()

        (proposal,) = await proposals_of(core)
        assert proposal.status == "retired"
        assert await living(core) == {}


async def test_an_agent_may_look_and_nothing_else() -> None:
    """It is the operator's to evolve and to review."""
    async with running_core(*WIDE) as core:
        await weak_actor(core)
        await core.do(Evolve())
        await core.add("t")
        agent = await core.agent_caller("t")

        assert len((await core.do(ListProposals(), agent)).data) == 1
        assert (await core.do(ShowProposal(id=1), agent)).data.id == 1
        refused: list[Evolve | ReviewProposal] = [
            Evolve(),
            Evolve(dry_run=True),
            ReviewProposal(id=1, verdict="approve"),
        ]
        for request in refused:
            with pytest.raises(ForbiddenError):
                await core.do(request, agent)


async def test_there_is_no_such_proposal() -> None:
    """And one on trial waits for nobody."""
    async with running_core(*WIDE) as core:
        with pytest.raises(NotFoundError, match="no proposal 7"):
            await core.do(ShowProposal(id=7))
        with pytest.raises(NotFoundError):
            await approve(core, 7)
        await weak_actor(core)
        await core.do(Evolve())
        with pytest.raises(ConflictError, match="waits for nobody"):
            await approve(core, 1)


async def test_an_actor_of_its_own_proposes_too() -> None:
    """In a task of the machinery; what it says goes the same way."""
    async with running_core(*EVOLVER) as core:
        await an_actor(core, "eve")
        await an_actor(core, "bob", tradeoff=a_tradeoff())
        await judged(core, "bob", [0.5] * 12)

        reply = await core.do(Evolve())

        assert (reply.data.errand, reply.data.proposals) == (".evolve-1", ())
        task = await core.task(".evolve-1")
        assert (task.actor, task.spec.tags) == ("eve", ("evolution",))
        record = json.loads(task.spec.description.strip().splitlines()[-1])
        assert (record["actor"], record["judged"]["mean"]) == ("eve", None)
        again = await core.do(Evolve())
        assert again.notes == (".evolve-1 is in-progress already",)

        wish = {
            "kind": "tradeoff",
            "actor": "bob",
            "change": {"reject": ["haste", "guessing"]},
            "reason": "it guesses",
        }
        await answer(core, ".evolve-1", {"proposals": [wish]})

        assert await core.status(".evolve-1") == "done"
        (proposal,) = await proposals_of(core)
        assert (proposal.by, proposal.status) == ("eve", "trial")
        assert (await living(core))["bob-2"].lineage.by == "eve"
        assert (await core.do(Evolve())).data.errand == ".evolve-2"


async def test_what_it_proposes_of_itself_waits() -> None:
    """An actor can't change itself, nor who judges it."""
    async with running_core(*EVOLVER, "agency.evaluator=eva") as core:
        await an_actor(core, "eve", a_role())
        await an_actor(core, "eva")
        await core.do(Evolve())
        wishes = [
            {"kind": "role", "actor": name, "change": {"outcome": "Praise."}}
            for name in ("eve", "eva")
        ]
        before = await living(core)

        await answer(core, ".evolve-1", {"proposals": wishes})

        assert [one.status for one in await proposals_of(core)] == ["waiting"] * 2
        assert await living(core) == before


async def test_an_answer_that_the_record_does_not_bear_out_is_asked_for_again() -> None:
    """Three times; then it has failed, and nothing is held back by that."""
    async with running_core(*EVOLVER) as core:
        await an_actor(core, "eve")
        await an_actor(core, "bob", skills=("rust", "docs"))
        await judged(core, "bob", [0.5] * 12, ["rust"])
        await core.do(Evolve())

        for said in (
            {"proposals": [{"kind": "retire", "actor": "bob"}]},
            {"proposals": [{"kind": "fire", "actor": "bob"}]},
            "nothing",
        ):
            await answer(core, ".evolve-1", said)

        told = [
            change.reason or ""
            for change in await core.changes()
            if change.task == ".evolve-1" and change.kind == "gate_judged"
        ]
        assert "the record does not show that others are better than bob" in told[0]
        assert "shape" in told[1]
        assert await core.status(".evolve-1") == "failed"
        assert await proposals_of(core) == []
        assert set(await living(core)) == {"eve", "bob"}
