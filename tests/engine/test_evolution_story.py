"""Proposals in whatever order: after every step all of it holds together."""

from contextlib import suppress
from random import Random
from typing import Any

import pytest

from tests.core import Core, running_core
from tests.engine.evolved import WIDE, a_role, a_tradeoff, an_actor, judged, living
from tests.engine.judged import answer
from tests.invariants import check_invariants
from workgraph.graph.errors import UserError, WorkgraphError
from workgraph.graph.proposals import Evolve, ReviewProposal
from workgraph.store import identities, proposals
from workgraph.store.database import Tx

pytestmark = pytest.mark.slow

NAMES = ("ann", "bob", "cat", "eva")
SETTINGS = (
    *WIDE,
    "agency.evaluator=eva",
    "agency.evolver=eve",
    "dispatcher.executor=tool",
)
STEPS = 25


class Story:
    """A project in which actors are judged, changed, approved and removed."""

    def __init__(self, core: Core, seed: int) -> None:
        self.core = core
        self.random = Random(seed)
        #: What has become of proposals, so that a test can say that much has.
        self.seen: set[str] = set()

    async def begin(self) -> None:
        """Actors that share a role and a tradeoff, and skills."""
        for name in NAMES:
            skills = tuple(self.random.sample(["rust", "docs", "art"], 2))
            tradeoff = a_tradeoff() if self.random.random() < 0.5 else None
            await an_actor(self.core, name, a_role(), tradeoff, skills=skills)
        await an_actor(self.core, "eve")

    async def step(self) -> None:
        """Something happens."""
        do = self.random.choice(
            [self.judge, self.judge, self.judge, self.evolve, self.review, self.wish]
        )
        if self.random.random() < 0.05:
            do = self.remove
        await do()
        await self.core.settle()
        if self.random.random() < 0.3:  # and at the end, by `running_core`
            await self.core.store.read(check_invariants, self.core.clock.now())
        assert all(one.ok for one in self.core.engine.reactors)
        for one in await self.core.store.read(proposals.every, 0):
            self.seen.add(one.status)

    async def judge(self) -> None:
        """Much work of one actor, good or bad at something."""
        name = self.random.choice(sorted(await living(self.core)))
        if name == "eve":
            return
        mean = self.random.choice([0.1, 0.5, 0.9])
        if self.random.random() < 0.5:
            skill = self.random.choice(["rust", "docs", "art"])
            with suppress(UserError):  # who lacks the skill gets no such work
                await judged(self.core, name, [mean] * 14, [skill])
            return
        said = {"completeness": mean, "correctness": 0.8}
        await judged(self.core, name, [0.0] * 14, dimensions=said)

    async def evolve(self) -> None:
        """Proposals are made, and what may begin begins."""
        await self.core.advance(1)
        await self.core.do(Evolve())

    async def review(self) -> None:
        """A person says yes or no, also where nobody has asked."""
        found = await self.core.store.read(proposals.every, 0)
        if not found:
            return
        waiting = [one for one in found if one.status == "waiting"]
        one = self.random.choice(waiting or found)
        verdict: Any = "approve" if self.random.random() < 0.8 else "reject"
        try:
            await self.core.do(ReviewProposal(id=one.number, verdict=verdict))
        except WorkgraphError:
            assert one.status not in {"waiting"}

    async def wish(self) -> None:
        """The actor that proposes answers, sensibly or not."""
        agents = [n for n in range(1, 99) if await self._runs(f".evolve-{n}")]
        if not agents:
            return
        name = self.random.choice(sorted(await living(self.core)))
        change = self.random.choice(
            [{"outcome": "Praise."}, {"reject": ["x"]}, {"skills": ["docs"]}]
        )
        kind = self.random.choice(["role", "tradeoff", "actor", "retire"])
        said = {"proposals": [{"kind": kind, "actor": name, "change": change}]}
        await answer(self.core, f".evolve-{agents[0]}", said)

    async def remove(self) -> None:
        """A person takes an actor out of use."""
        actors = await living(self.core)
        actor = actors[self.random.choice(sorted(actors))]

        def write(tx: Tx) -> None:
            identities.retire(tx, actor.id)

        await self.core.store.transaction(write, self.core.clock.now())
        self.core.engine.wake()

    async def _runs(self, task: str) -> bool:
        try:
            return await self.core.status(task) == "in-progress"
        except WorkgraphError:
            return False


async def _told(seed: int) -> set[str]:
    async with running_core(*SETTINGS) as core:
        story = Story(core, seed)
        await story.begin()
        for _ in range(STEPS):
            await story.step()
    return story.seen


@pytest.mark.timeout(400)
async def test_whatever_happens_it_holds_together() -> None:
    """Five stories; all that can become of a proposal has in one of them."""
    seen: set[str] = set()
    for seed in range(5):
        seen |= await _told(seed)

    assert seen >= {"waiting", "trial", "promoted", "retired", "rejected"}
