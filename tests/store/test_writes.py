"""The one write that changes a status, and the counts that are kept with it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fake_clock import START
from tests.invariants import check_invariants, dump
from workgraph.graph.errors import ConflictError, UserError, WorkgraphBug
from workgraph.graph.model import TaskSpec
from workgraph.graph.status import CAUSES, Cause, Status, Verb, next_status
from workgraph.graph.waits import Term, Wait
from workgraph.store import agents, edges, reads, waits, writes
from workgraph.store.database import Store, Tx

T = TypeVar("T")


def in_a_store(job: Callable[[Tx], T]) -> T:
    """Runs a job in a transaction of a new database."""

    async def run() -> T:
        store = await Store.open(":memory:")
        try:
            result, _ = await store.transaction(job, START)
        finally:
            await store.close()
        return result

    return asyncio.run(run())


def add(tx: Tx, *names: str) -> None:
    """Adds open tasks."""
    for name in names:
        new = writes.NewTask(id=name, spec=TaskSpec(title=name), priority=2)
        writes.insert_task(tx, new, "me")


def move(tx: Tx, name: str, verb: Verb) -> Status:
    """Moves a task by a verb, as whoever may."""
    cause = sorted(CAUSES[verb])[0]
    marks = writes.Marks(by="me")
    if verb is Verb.CLAIM:
        _, attempt = agents.next_agent(tx, name)
        new = agents.NewAgent(
            task=name, attempt=attempt, actor="me", executor="person", human=True
        )
        number = agents.insert_agent(tx, new)
        marks = writes.Marks(by="me", agent=f"agent-{number}", attempt=attempt)
    if verb is Verb.WAIT:
        terms = (Term(branch=0, kind="message"),)
        wait = Wait(task=name, agent=None, condition="message", since=1, terms=terms)
        waits.put(tx, wait)
    return writes.change_status(tx, reads.task(tx, name), verb, cause, marks)


def test_a_status_that_was_read_too_early_is_a_conflict() -> None:
    """The compare-and-set touches no row, and nothing is told."""

    def job(tx: Tx) -> None:
        add(tx, "t")
        early = reads.task(tx, "t")
        move(tx, "t", Verb.ABANDON)
        before = dump(tx)

        with pytest.raises(ConflictError, match="no longer open"):
            writes.change_status(
                tx, early, Verb.FINISH, Cause.OPERATOR, writes.Marks(by="me")
            )

        assert dump(tx) == before

    in_a_store(job)


def test_who_may_not_cause_a_verb_is_a_bug() -> None:
    """The table says who; handlers have asked before."""

    def job(tx: Tx) -> None:
        add(tx, "t")
        with pytest.raises(WorkgraphBug):
            writes.change_status(
                tx, reads.task(tx, "t"), Verb.RETRY, Cause.WORKER, writes.Marks(by="x")
            )

    in_a_store(job)


def test_a_part_that_raises_is_undone_whole() -> None:
    """Its rows, and what it told; what came before stays."""

    def job(tx: Tx) -> None:
        add(tx, "kept")
        before, told = dump(tx), list(tx.changes)
        with pytest.raises(ZeroDivisionError):
            _add_and_fail(tx)

        assert dump(tx) == before
        assert tx.changes == told
        with tx.savepoint():
            add(tx, "also-kept")
        check_invariants(tx)

    in_a_store(job)


def _add_and_fail(tx: Tx) -> None:
    with tx.savepoint():
        add(tx, "gone")
        raise ZeroDivisionError


NAMES = "abcdef"
#: An iteration is ordered by a loop, for all of its members (tests.engine.test_loops).
VERBS = sorted(set(Verb) - {Verb.ITERATE})
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("link"),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
            st.sampled_from(["done", "settled"]),
        ),
        st.tuples(
            st.just("unlink"),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
            st.just(""),
        ),
        st.tuples(
            st.just("heir"), st.sampled_from(NAMES), st.sampled_from(NAMES), st.just("")
        ),
        st.tuples(
            st.just("move"), st.sampled_from(NAMES), st.sampled_from(VERBS), st.just("")
        ),
    ),
    max_size=40,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(STEPS)
def test_counts_and_chains_are_those_of_a_recount(steps: list[tuple[str, ...]]) -> None:
    """Under any edges, ends and returns; cycles are refused, and change nothing."""

    def job(tx: Tx) -> None:
        add(tx, *NAMES)
        for step in steps:
            before = dump(tx)
            try:
                with tx.savepoint():
                    _take(tx, *step)
            except UserError:
                assert dump(tx) == before
            check_invariants(tx)

    in_a_store(job)


def _take(tx: Tx, what: str, name: str, other: str, kind: str) -> None:
    match what:
        case "link":
            edges.insert_edge(
                tx, name, other, "done" if kind == "done" else "settled", ""
            )
        case "unlink":
            edges.delete_edge(tx, name, other, "me")
        case "heir":
            edges.supersede(tx, name, other, "me")
        case _:
            if next_status(reads.task(tx, name).status, Verb(other)) is not None:
                move(tx, name, Verb(other))
