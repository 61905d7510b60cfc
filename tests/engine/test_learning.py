"""Work, judgement, record and choice in one: who does it best gets the work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

import pytest

from tests.core import Core, plan_host, running_core
from tests.engine.evolved import WIDE, a_role, a_tradeoff, an_actor
from workgraph.graph import requests as r
from workgraph.graph.model import Complexity
from workgraph.graph.reward_requests import GetStats, RecordReward
from workgraph.graph.rewards import Cell
from workgraph.graph.scoring import Candidate, Standing
from workgraph.store import candidates, reads, rewards
from workgraph.store.database import Tx

NAMES: Final = ("ann", "bob", "cyd")
#: How often work is good, by who does it and what it asks for.
QUALITY: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "ann": {"rust": 0.9, "css": 0.3},
        "bob": {"rust": 0.5, "css": 0.9},
        "cyd": {"rust": 0.3, "css": 0.5},
    }
)
BEST: Final = {"rust": "ann", "css": "bob"}
TASKS: Final = 300
AT_ONCE: Final = 15
CHECKS: Final = (*WIDE, "agency.auto_reward=checks")


class World:
    """Actors of which some are better than others, and who says so."""

    def __init__(self, core: Core, folder: Path | None) -> None:
        self.core = core
        #: Where promised outputs are looked for; null: an operator judges.
        self.folder = folder
        self.random = Random(11)

    async def work(self, number: int) -> list[tuple[str, str]]:
        """Some tasks at the same time; the skill and the actor of each."""
        core, output = self.core, () if self.folder is None else ("{}.html",)
        tasks = []
        for n in range(number, number + AT_ONCE):
            skill = self.random.choice(sorted(BEST))
            added = r.AddTask(
                title="t",
                exec="true",
                skill=(skill,),
                output=tuple(one.format(n) for one in output),
                max_attempts=1,
            )
            tasks.append((n, skill, (await core.say(added)).data.id))
        await core.settle()
        found, scores = [], dict[str, float]()
        for n, skill, task in tasks:
            actor = (await core.task(task)).actor or ""
            found.append((skill, actor))
            is_good = self.random.random() < QUALITY[actor][skill]
            if self.folder is not None and is_good:
                (self.folder / f"{n}.html").touch()
            core.launcher.exit(await core.holder(task), code=0)
            scores[task] = 0.9 if is_good else 0.2
        await core.settle()
        if self.folder is None:
            for task, score in scores.items():
                await core.say(RecordReward(task=task, score=score))
        return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("judge", ["operator", "checks"])
async def test_the_best_gets_most_of_the_work(judge: str, tmp_path: Path) -> None:
    """By skill, in the last quarter; with a word by a person, or a look at outputs."""
    (tmp_path / ".wg").mkdir()
    host = plan_host(project_dir=str(tmp_path), wg_dir=str(tmp_path / ".wg"))
    settings = CHECKS if judge == "checks" else WIDE
    async with running_core(*settings, host=host) as core:
        for name in NAMES:
            await an_actor(core, name, skills=("rust", "css"))
        world = World(core, tmp_path if judge == "checks" else None)
        done = [one for n in range(0, TASKS, AT_ONCE) for one in await world.work(n)]

        last = done[-TASKS // 4 :]
        right = sum(1 for skill, actor in last if actor == BEST[skill])
        assert right / len(last) > 0.7, Counter(last)
        sums = await core.store.read(rewards.standings, core.clock.now())
        kept = [one for cell, one in sums.items() if cell.skill == "*"]
        assert sum(one.count for one in kept) == TASKS


async def candidates_of(
    core: Core, skills: Sequence[str] = ("rust",)
) -> dict[str, Candidate]:
    """How actors stand at a task, by name, as a tick would load it."""
    task = await core.add("next", skill=tuple(skills), paused=True)

    def load(tx: Tx) -> dict[str, Candidate]:
        known = candidates.cast(tx, frozenset())
        _, found = candidates.load(tx, reads.task(tx, task), known, only_able=True)
        return {one.actor.name: one for one in found}

    return await core.store.read(load, core.clock.now())


async def test_an_end_that_nobody_has_looked_at_teaches_nothing() -> None:
    """It is counted in the record, and no choice is another one by it."""
    async with running_core(*CHECKS, "agency.explore=0", has_default=False) as core:
        ann = await an_actor(core, "ann", a_role(), a_tradeoff(), skills=("rust",))
        await an_actor(core, "bob", skills=("rust",))
        before = await candidates_of(core)
        await work_of(core, "ann", 6, None)
        await work_of(core, "ann", 6, "complex")

        after = await candidates_of(core)

        assert after == before
        assert after["ann"].overall == Standing()
        sums = await core.store.read(rewards.standings, core.clock.now())
        pair = f"{ann.role} {ann.tradeoff}"
        assert {(one.kind, one.subject): kept.count for one, kept in sums.items()} == {
            ("actor", ann.id): 12,
            ("role", ann.role): 12,
            ("tradeoff", ann.tradeoff): 12,
            ("pair", pair): 12,
        }
        assert all(cell.skill == cell.complexity == "" for cell in sums)


async def test_one_word_by_a_person_counts_for_more_than_many_ends() -> None:
    """From the record to the choice: of those alone that teach."""
    async with running_core(*CHECKS, "agency.explore=0", has_default=False) as core:
        await an_actor(core, "ann", skills=("rust",))
        bob = await an_actor(core, "bob", skills=("rust",))
        await work_of(core, "ann", 12, None)
        (task,) = await work_of(core, "bob", 1, None)

        await core.do(RecordReward(task=task, score=0.8))

        task = await core.add("next", skill=("rust",))
        assert (await core.task(task)).actor == "bob"
        await core.exit(task)
        sums = await core.store.read(rewards.standings, core.clock.now())
        mine = {c.skill: s.count for c, s in sums.items() if c.subject == bob.id}
        assert mine == {"": 2, "*": 1, "rust": 1}


async def test_sums_of_what_teaches_are_nobodys_skill() -> None:
    """Neither shown by `wg actor stats`, nor what a task asks for by that name."""
    async with running_core(*WIDE, has_default=False) as core:
        ann = await an_actor(core, "ann", a_role(), a_tradeoff(), skills=("*",))
        for skill in ((), ("rust",), ("*",)):
            for task in await work_of(core, "ann", 2, "simple", skill):
                await core.say(RecordReward(task=task, score=0.5))

        for stats in (GetStats(), GetStats(by="skill"), GetStats(by="source")):
            rows = (await core.do(stats)).data.rows
            assert "*" not in {row.skill for row in rows}, stats
            whole = [row for row in rows if not (row.skill or row.complexity)]
            assert {row.count for row in whole} == {6}
        rows = (await core.do(GetStats(by="skill"))).data.rows
        cells = {(one.kind, one.skill, one.complexity): one.count for one in rows}
        assert cells == {
            ("actor", None, None): 6,
            ("actor", None, "simple"): 4,
            ("actor", "rust", "simple"): 2,
            ("role", None, None): 6,
            ("tradeoff", None, None): 6,
            ("pair", None, None): 6,
        }
        found = (await candidates_of(core, ("*",)))["ann"]
        assert found.overall == Standing(count=6, total=3.0, squares=1.5)
        sums = await core.store.read(rewards.standings, core.clock.now())
        assert sums[Cell(kind="actor", subject=ann.id, skill="*")] == found.overall


async def work_of(
    core: Core,
    actor: str,
    count: int,
    complexity: Complexity | None,
    skills: Sequence[str] = ("rust",),
) -> list[str]:
    """So many tasks that an actor does to their end."""
    work = r.AddTask(
        title="t",
        exec="true",
        actor=actor,
        skill=tuple(skills),
        complexity=complexity,
    )
    tasks = [(await core.say(work)).data.id for _ in range(count)]
    await core.settle()
    for task in tasks:
        core.launcher.exit(await core.holder(task), code=0)
    await core.settle()
    return tasks
