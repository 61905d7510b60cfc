"""Judgements are kept by task, attempt and source; what counts is the record."""

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import Graph, a_graph, an_agent, lines
from workgraph.graph.errors import NotFoundError, UsageError
from workgraph.graph.identity import actor_id, role_id, tradeoff_id
from workgraph.graph.rewards import TEACHING, Judgement, Reward
from workgraph.store import history, rewards
from workgraph.store.database import Tx

ROLE = role_id(description="codes", skills=(), outcome="")
TRADEOFF = tradeoff_id(description="careful", accept=(), reject=())
ACTOR = actor_id(name="ann", role=ROLE, tradeoff=TRADEOFF)
PLAIN = actor_id(name="bob")
WHO = lines(
    {"kind": "role", "name": "coder", "description": "codes"},
    {"kind": "tradeoff", "name": "careful", "description": "careful"},
    {"kind": "actor", "name": "ann", "role": ROLE, "tradeoff": TRADEOFF},
    {"kind": "actor", "name": "bob"},
)


def a_judgement(score: float | None = 0.8, **changes: Any) -> Judgement:
    """An evaluator's, of the first attempt at `t`."""
    boring: dict[str, Any] = {"task": "t", "attempt": 1, "source": "evaluator"}
    boring["by"] = "eve"
    return Judgement(**(boring | {"score": score} | changes))


async def set_up(graph: Graph, **task: Any) -> None:
    """Ann's two attempts at `t`, Bob's at `u`, one at `v` of nobody that is known."""
    skilled = {"requires_skills": ["go"], "prefers_skills": ["sql", "go"]}
    attempts = (
        {"id": "agent-1", "task": "t", "actor": "ann", "actor_id": ACTOR},
        {"id": "agent-2", "task": "t", "attempt": 2, "actor": "ann", "actor_id": ACTOR},
        {"id": "agent-3", "task": "u", "actor": "bob", "actor_id": PLAIN},
        {"id": "agent-4", "task": "v", "actor": "eva"},
    )
    text = [
        WHO,
        lines({"kind": "task", "title": "t", "complexity": "complex"} | skilled | task),
        lines({"kind": "task", "title": "u"}, {"kind": "task", "title": "v"}),
        *(an_agent(**one) for one in attempts),
    ]
    await graph.take("\n".join(text))


async def record(graph: Graph, judgement: Judgement, now: int = 5_000) -> Reward:
    """Judges, and checks that the record is what the judgements add up to."""
    given: Reward = await graph.change(lambda c: rewards.record(c.tx, judgement), now)
    assert await graph.change(lambda c: rewards.recount(c.tx)) == ()
    return given


async def cells(graph: Graph) -> dict[tuple[str, ...], tuple[int, float]]:
    """The record: count and sum by kind, subject, skill and complexity."""
    found = await graph.change(lambda c: rewards.standings(c.tx))
    return {
        (cell.kind, cell.subject, cell.skill, cell.complexity): (one.count, one.total)
        for cell, one in found.items()
    }


async def test_a_judgement_counts_where_it_belongs() -> None:
    """Once for each of whom it is, and for each skill that the work asked for."""
    async with a_graph() as graph:
        await set_up(graph)

        given = await record(graph, a_judgement(notes="nice"))

        assert (given.actor, given.actor_id) == ("ann", ACTOR)
        assert (given.role, given.tradeoff) == (ROLE, TRADEOFF)
        assert (given.skills, given.complexity) == (("go", "sql"), "complex")
        once = (1, 0.8)
        assert await cells(graph) == {
            ("actor", ACTOR, "", ""): once,
            ("actor", ACTOR, TEACHING, ""): once,
            ("actor", ACTOR, "go", "complex"): once,
            ("actor", ACTOR, "sql", "complex"): once,
            ("role", ROLE, "", ""): once,
            ("tradeoff", TRADEOFF, "", ""): once,
            ("pair", f"{ROLE} {TRADEOFF}", "", ""): once,
        }


@pytest.mark.parametrize(
    ("task", "skilled"),
    [
        ({}, {("go", "complex"), ("sql", "complex")}),
        ({"complexity": None}, {("go", ""), ("sql", "")}),
        ({"requires_skills": [], "prefers_skills": []}, {("", "complex")}),
        ({"requires_skills": [], "prefers_skills": [], "complexity": None}, set()),
    ],
)
async def test_the_cells_of_an_actor(
    task: dict[str, Any], skilled: set[tuple[str, str]]
) -> None:
    """By skill and complexity; of neither there are but the totals."""
    async with a_graph() as graph:
        await set_up(graph, **task)

        await record(graph, a_judgement())

        mine = {key[2:] for key in await cells(graph) if key[0] == "actor"}
        assert mine == {("", ""), (TEACHING, ""), *skilled}


async def test_what_says_nothing_of_the_work_is_in_the_totals_alone() -> None:
    """That an attempt has ended teaches nobody whom to choose."""
    async with a_graph() as graph:
        await set_up(graph)

        await record(
            graph, a_judgement(None, source="checks", dimensions={"efficiency": 1.0})
        )
        assert {key[2:] for key in await cells(graph)} == {("", "")}

        await record(
            graph, a_judgement(None, source="checks", dimensions={"correctness": 1.0})
        )
        assert ("actor", ACTOR, "go", "complex") in await cells(graph)


async def test_the_best_source_counts_and_others_are_kept() -> None:
    """An operator before evaluators, the last of these, then checks; never FLIP."""
    flip = {"semantic_match": 0.1}
    async with a_graph() as graph:
        await set_up(graph)
        total = ("actor", ACTOR, "", "")

        await record(graph, a_judgement(None, source="flip", dimensions=flip), 1_000)
        assert await cells(graph) == {}
        await record(graph, a_judgement(0.1, source="checks"), 2_000)
        assert (await cells(graph))[total] == (1, 0.1)
        await record(graph, a_judgement(0.6), 3_000)
        await record(graph, a_judgement(0.2, source="checks"), 4_000)
        assert (await cells(graph))[total] == (1, 0.6)
        await record(graph, a_judgement(0.7, source="zoe"), 5_000)
        assert (await cells(graph))[total] == (1, 0.7)
        await record(graph, a_judgement(0.9, source="operator", by="me"), 6_000)
        await record(graph, a_judgement(0.5), 7_000)
        assert (await cells(graph))[total] == (1, 0.9)

        kept = await graph.change(lambda c: rewards.of_attempt(c.tx, "t", 1))
        assert {one.source: one.score for one in kept} == {
            "flip": 0.1,
            "checks": 0.2,
            "evaluator": 0.5,
            "zoe": 0.7,
            "operator": 0.9,
        }
        latest = await graph.change(lambda c: rewards.latest(c.tx, "t"))
        assert latest.source == "operator"


async def test_the_same_source_again_takes_its_own_place() -> None:
    """The change log has both; to say the same again changes nothing."""
    async with a_graph() as graph:
        await set_up(graph)
        first = await record(graph, a_judgement(0.6, notes="weak"), 1_000)
        assert await record(graph, a_judgement(0.6, notes="weak"), 2_000) == first

        second = await record(graph, a_judgement(0.7), 3_000)

        kept = await graph.change(lambda c: rewards.of_task(c.tx, "t"))
        assert kept == [second]

        def told(tx: Tx) -> list[tuple[Any, ...]]:
            return [
                (one.agent, one.attempt, one.actor, one.by, one.reason)
                for one in history.changes_since(tx, 0, None, 1_000)
                if one.kind == "reward_recorded"
            ]

        assert await graph.change(lambda c: told(c.tx)) == [
            ("agent-1", 1, "ann", "eve", "0.6 by evaluator: weak"),
            ("agent-1", 1, "ann", "eve", "0.7 by evaluator (was 0.6)"),
        ]


async def test_attempts_count_each_for_itself() -> None:
    """The task shows what counts of the last one that has been judged."""
    async with a_graph() as graph:
        await set_up(graph)
        await record(graph, a_judgement(0.4))
        later = await record(graph, a_judgement(0.9, attempt=2))
        await record(graph, a_judgement(0.5, task="u"))

        found = await cells(graph)
        assert found["actor", ACTOR, "", ""] == (2, 1.3)
        assert found["actor", PLAIN, "", ""] == (1, 0.5)
        assert await graph.change(lambda c: rewards.latest(c.tx, "t")) == later
        of = await graph.change(lambda c: rewards.latest_of(c.tx, ["t", "u", "v", "x"]))
        assert {task: one.score for task, one in of.items()} == {"t": 0.9, "u": 0.5}
        whole = await graph.change(lambda c: rewards.record_of(c.tx, ACTOR))
        assert (whole.count, whole.mean) == (2, 0.65)
        assert whole.low < 0.65 < whole.high


async def test_the_work_of_nobody_counts_for_nobody() -> None:
    """A person's, or an actor's that was never known: it is kept and shown."""
    async with a_graph() as graph:
        await set_up(graph)

        given = await record(graph, a_judgement(task="v"))

        assert (given.actor, given.actor_id, given.role) == ("eva", None, None)
        assert await cells(graph) == {}


async def test_other_rubrics_are_kept_and_count_for_nothing() -> None:
    """Those of the version before: until somebody judges anew."""
    line = {"kind": "reward", "task": "t", "attempt": 1, "source": "operator"}
    old = line | {"score": 0.3, "rubric": "0", "actor_id": ACTOR}
    text = "\n".join(
        (
            WHO,
            lines({"kind": "task", "title": "t"}),
            an_agent(task="t", actor="ann", actor_id=ACTOR),
            lines(old),
        )
    )
    async with a_graph() as graph:
        await graph.take(text)
        kept = await graph.change(lambda c: rewards.of_task(c.tx, "t"))
        assert [(one.score, one.rubric) for one in kept] == [(0.3, "0")]
        assert await graph.change(lambda c: rewards.latest(c.tx, "t")) is None
        assert await cells(graph) == {}

        await record(graph, a_judgement(0.2, source="checks"))
        assert (await cells(graph))["actor", ACTOR, "", ""] == (1, 0.2)
        await record(graph, a_judgement(0.9, source="operator"))
        assert (await cells(graph))["actor", ACTOR, "", ""] == (1, 0.9)


@pytest.mark.parametrize(
    ("judgement", "error", "message"),
    [
        (a_judgement(attempt=7), NotFoundError, "no attempt 7 at t"),
        (a_judgement(task="x"), NotFoundError, "no attempt 1 at x"),
        (a_judgement(1.5), UsageError, "the score: 1.5"),
        (a_judgement(None), UsageError, "neither a score nor"),
        (a_judgement(dimensions={"correctness": 2.0}), UsageError, "correctness: 2"),
    ],
)
async def test_what_can_not_be_is_refused(
    judgement: Judgement, error: type[Exception], message: str
) -> None:
    """And nothing is kept of it."""
    async with a_graph() as graph:
        await set_up(graph)
        with pytest.raises(error, match=message):
            await record(graph, judgement)
        assert await graph.change(lambda c: rewards.newest(c.tx, 9)) == []


async def test_a_recount_finds_what_is_wrong() -> None:
    """A sum that is off, one too many, one too few."""
    async with a_graph() as graph:
        await set_up(graph)
        await record(graph, a_judgement())
        for sql in (
            "update standings set total = total + 0.0001 where skill = 'go'",
            "delete from standings where kind = 'role'",
            "insert into standings values ('1', 'actor', 'x', '', '', 1, 1.0, 1.0)",
        ):
            await graph.store.transaction(partial(Tx.run, sql=sql), 0)

        found = await graph.change(lambda c: rewards.recount(c.tx))

        assert [(one.cell.kind, one.cell.skill) for one in found] == [
            ("actor", "go"),
            ("actor", ""),
            ("role", ""),
        ]
        assert [(one.kept.count, one.counted.count) for one in found] == [
            (1, 1),
            (1, 0),
            (0, 1),
        ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from([("t", 1), ("t", 2), ("u", 1), ("v", 1)]),
        st.sampled_from(["operator", "evaluator", "zoe", "checks", "flip"]),
        st.floats(0, 1),
    ),
    max_size=30,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
async def test_the_record_never_drifts(
    steps: list[tuple[tuple[str, int], str, float]],
) -> None:
    """Whatever is said in whatever order, it is exactly what a recount gives."""
    async with a_graph() as graph:
        await set_up(graph)
        for at, ((task, attempt), source, score) in enumerate(steps):
            judgement = a_judgement(score, task=task, attempt=attempt, source=source)
            await record(graph, judgement, at * 1_000)
