"""What happens in a made-up story to who does what, and to how that is judged."""

import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.invariants import check_invariants, dump
from workgraph.agents.process import Ended, Fate
from workgraph.commands import calibration, matching
from workgraph.commands.context import Caller
from workgraph.graph import identity_requests as q
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.canaries import read_canaries
from workgraph.graph.errands import Errand
from workgraph.graph.errors import WorkgraphError
from workgraph.graph.match_requests import MatchActors
from workgraph.graph.model import Agent, Outcome
from workgraph.graph.proposals import Evolve, ReviewProposal
from workgraph.graph.reward_requests import RecordReward
from workgraph.store import errands, proposals

if TYPE_CHECKING:
    from tests.engine.simulation import Story

#: Whom settings may name: who is there from the start, who comes, a person, nobody.
_NAMES = ("eva", "ada", "alice", "bob", "gone", "", "ann")
#: Who may be there; the first is from the start on.
_ACTORS = ("default", "ada", "bob", "eva", "ann", "judy", "alice")

FLIP_ANSWER = (
    '{"dimensions": {"semantic_match": 0.9, "requirement_coverage": 1,'
    ' "specificity_match": 0.5, "hallucination_rate": 0}}'
)
#: Good and bad answers of evaluators, and what is none.
ANSWERS: tuple[str, ...] = (
    '{"score": 0.9}',
    '{"dimensions": {"correctness": 0.2}, "notes": "no"}',
    '{"dimensions": {"correctness": 0.8, "style_adherence": 1}}',
    FLIP_ANSWER,
    '{"task": "do something"}',
    "no",
    '{"score": 2}',
)


def agency(x: int, y: int) -> tuple[str, ...]:
    """Settings of `[agency]`, by two numbers below 64."""
    auto_reward = ("off", "checks", "actor")[y % 3]
    gate = ("off", "advisory", "enforcing")[(x + y) % 3]
    if auto_reward == "off" and gate == "enforcing":
        gate = "advisory"
    return (
        f"agency.auto_assign={('off', 'match', 'actor')[x % 3]}",
        f"agency.auto_reward={auto_reward}",
        f"agency.reward_gate={gate}",
        f"agency.assigner={_NAMES[x // 3 % len(_NAMES)]}",
        f"agency.evaluator={_NAMES[y // 3 % len(_NAMES)]}",
        f"agency.evolver={_NAMES[(x + y) % len(_NAMES)]}",
        f"agency.flip={('off', 'tagged', 'all')[min(x // 21, 2)]}",
        f"agency.explore={(0, 0.2, 1)[y // 22]}",
        f"agency.trial_share={(0.5, 0.2, 0)[x * y % 3]}",
    )


async def set_agency(story: "Story", x: int, y: int) -> None:
    """Other settings are read."""
    await story.configure(*agency(x, y))


async def change_capacity(story: "Story", x: int, y: int) -> None:
    """Somebody may do more at a time, or less than it does."""
    most = (1, 2, 3, None)[y % 4]
    await story.ask(q.EditActor(actor=_ACTORS[x % len(_ACTORS)], capacity=most))


async def change_skills(story: "Story", x: int, y: int) -> None:
    """Somebody learns something, or forgets it."""
    skill = (("python", "rust", "law", "go")[y % 4],)
    fields: dict[str, Any] = {"add_skill": skill} if x % 2 else {"remove_skill": skill}
    name = _ACTORS[x // 2 % len(_ACTORS)]
    if name == "default":  # who can do anything leaves nothing to be waited for
        fields = {"skill": ("*",) if y % 4 == 0 else skill}
    await story.ask(q.EditActor(actor=name, **fields))


async def remove_actor(story: "Story", x: int, y: int) -> None:
    """Somebody goes, or comes."""
    name = _ACTORS[x % 4 and x % len(_ACTORS)]
    await story.ask(q.RemoveActor(actor=name))
    if y % 2:
        skills = (("python",), (), ("law", "rust"))[y % 3]
        await story.ask(q.AddActor(name=name, skill=skills, human=y % 5 == 0))


async def assign_some(story: "Story", x: int, y: int) -> None:
    """An operator says of several tasks who does them, or that it is open who does."""
    for n in range(1 + x % 3):
        task = await story.pick(x + n)
        words: tuple[dict[str, Any], ...] = (
            {"auto": True},
            {"clear": True},
            {"actor": _ACTORS[x % len(_ACTORS)]},
        )
        await story.ask(AssignTask(task=task, **words[(y + n) % len(words)]))


async def match_actors(story: "Story", x: int, y: int) -> None:
    """Somebody asks who could do a task: that changes nothing."""
    before = await story.core.store.read(dump, 0)
    task = await story.pick(x)
    with suppress(WorkgraphError):
        await story.core.engine.read(
            lambda context: matching.match_actors(
                context, MatchActors(task=task, explain=y % 2 == 0)
            ),
            story.me,
        )
    assert await story.core.store.read(dump, 0) == before, "a question has changed it"


async def evolve(story: "Story", x: int, y: int) -> None:
    """Proposals are made from the record, or would be."""
    del x
    await story.ask(Evolve(dry_run=y % 4 == 0))


async def review(story: "Story", x: int, y: int) -> None:
    """An operator says yes or no to a proposal, or looks at what waits."""
    found = await story.core.store.read(proposals.every, 0)
    open_ = [one.number for one in found if one.ended_at is None] or [y % 4]
    number = open_[x % len(open_)]
    verdict: Any = "approve" if y % 2 else "reject"
    await story.ask(ReviewProposal(id=number, verdict=verdict))
    if y % 8 == 0:
        await story.ask(ReviewProposal())


async def try_evaluator(story: "Story", x: int, y: int) -> None:
    """The evaluator is tried on known answers; nobody waits for how it comes out."""
    lines = [
        json.dumps(
            {
                "name": f"n{n}",
                "task": {"title": f"c{x}-{n}"},
                "result": {"summary": "it is"},
                "score": score,
            }
        )
        for n, score in enumerate((0.9, 0.1, 0.5)[: 2 + y % 2])
    ]
    cases = read_canaries("\n".join(lines))
    with suppress(WorkgraphError):
        await story.core.engine.ask(
            lambda context: calibration.begin_run(context, cases), story.me
        )


async def practise(story: "Story", x: int, y: int) -> None:
    """Whoever is chosen does a few tasks, and an operator says how well."""
    await story.go_on()
    skill = ((), ("python",), ("rust",))[x % 3]
    for n in range(2 + y % 4):
        for place in range(2):
            title = f"w{n}-{place}"
            await story.ask(
                r.AddTask(title=title, exec="true", skill=skill, priority=0)
            )
        for agent in await story.agents(alive=True):
            if agent.number not in story.world.running():
                continue
            story.world.unmoved.discard(agent.number)
            story.world.end(Ended(agent=agent.number, fate=Fate.EXITED, exit_code=0))
            await story.core.settle()
            score = (x * 7 + n * 5) % 64 / 64 if agent.actor != "bob" else 1
            await story.ask(RecordReward(task=agent.task, score=score))


async def answer_errand(story: "Story", x: int, y: int) -> None:
    """Who judges, assigns or evolves answers, by its output or a command, and ends."""
    found = await _on_errands(story)
    if not found:
        return
    agent, errand = found[x % len(found)]
    caller = Caller(name=agent.id, agent=agent)
    if y % 5 == 0 and errand.kind == "reward":
        await story.ask(RecordReward(task=errand.about, score=y / 64), caller)
    if y % 5 == 0 and errand.kind == "assignment":
        name = _ACTORS[y % len(_ACTORS)]
        await story.ask(AssignTask(task=errand.about, actor=name), caller)
    if y % 4 == 0:
        await story.ask(r.FinishTask(task=agent.task), caller)
    said = _words(errand, x, y)
    story.world.write(agent.number, f"well\n{said}\n".encode())
    if agent.number in story.world.running():
        code = 1 if y % 16 == 1 else 0
        story.world.unmoved.discard(agent.number)
        story.world.end(Ended(agent=agent.number, fate=Fate.EXITED, exit_code=code))


async def answer_errands(story: "Story", x: int, y: int) -> None:
    """All who have an errand answer, for a while, well or not."""
    if x % 4:
        await story.go_on()
    for n in range(2 + y % 3):
        for place in range(len(await _on_errands(story))):
            await answer_errand(story, place, (y + x * n) % 64)
            await story.core.settle()


async def fall_silent(story: "Story", x: int, y: int) -> None:
    """Who has an errand ends without a word, as often as it is started."""
    for _ in range(1 + y % 4):
        for agent, _errand in await _on_errands(story):
            story.world.unmoved.discard(agent.number)
            end = Ended(agent=agent.number, fate=Fate.EXITED, exit_code=x % 2)
            story.world.end(end)
        await story.core.settle()
        story.pass_time(61)
        await story.core.settle()


#: What no machine does: SQL that breaks a rule of the schema.
A_BUG = ("SQLITE_CONSTRAINT", 19, "a reactor has a bug")


async def fail_reactor(story: "Story", x: int, y: int) -> None:
    """Reactors raise at some write: of what each did in that tick nothing stays."""
    core, world = story.core, story.world
    world.store.fault = (A_BUG, x % 24, False)
    story.end(x, fate=Fate.EXITED, exit_code=y % 2)
    if y % 4 == 0:
        story.pass_time(61)
    await core.settle()
    world.store.fault = None
    await core.store.read(check_invariants, core.clock.now())
    await core.settle()
    for _ in range(2):
        story.pass_time(61)
        await core.settle()


async def judge_late(story: "Story", x: int, y: int) -> None:
    """What was judged is judged again, by somebody whose word counts more or less."""
    ended = [
        agent
        for agent in await story.agents(alive=False)
        if agent.outcome in {Outcome.DONE, Outcome.FAILED, Outcome.GATE}
    ]
    if not ended:
        return
    agent = ended[x % len(ended)]
    for n in range(1 + y % 3):
        await story.ask(
            RecordReward(
                task=agent.task,
                score=(x + n) % 64 / 64,
                source=("eve", None, "zoe", "checks")[(y + n) % 4],
                attempt=agent.attempt,
            )
        )


def _words(errand: Errand, x: int, y: int) -> str:
    """An answer to what was asked; now and then to something else, or none."""
    if y % 7 == 0:
        return ANSWERS[x % len(ANSWERS)]
    if errand.kind == "assignment":
        return json.dumps({"actor": _ACTORS[(x + y) % len(_ACTORS)]})
    if errand.kind == "evolution":
        actor = ("bob", "ada", "default", "eva", "ann")[x % 5]
        kind = ("actor", "retire", "role")[y % 8 // 3]
        skills = (["python"], ["rust", "go"], [])[y % 3]
        change = {"actor": {"skills": skills}, "role": {"description": f"d{y}"}}
        wish = {"kind": kind, "actor": actor, "change": change.get(kind, {})}
        return json.dumps({"proposals": [wish]})
    if errand.part == "guess":
        return ANSWERS[4]
    if errand.part == "compare":
        return FLIP_ANSWER
    return ANSWERS[y % 3]


async def _on_errands(story: "Story") -> list[tuple[Agent, Errand]]:
    """The processes that work for the machinery, and what they are to do."""
    found = []
    for agent in await story.agents(alive=True):
        errand = await story.core.store.read(partial(errands.find, task=agent.task), 0)
        if errand is not None and agent.number in story.world.running():
            found.append((agent, errand))
    return found
