"""Runs of an evaluator on known answers, and what people say beside it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from msgspec.structs import replace

from workgraph.graph.calibration import Interval
from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import TaskSpec
from workgraph.store import calibration, writes
from workgraph.store.calibration import Answer, CanaryRun, Earlier, StoredCase
from workgraph.store.database import Store, Tx

RUN = CanaryRun(
    number=1, actor="critic", actor_id="c" * 64, rubric="1", by="me", at=1000
)
REWARD = """
insert into rewards (task, attempt, source, score, rubric, by, at)
values (?, ?, ?, ?, ?, ?, 0)
"""


@asynccontextmanager
async def a_store() -> AsyncGenerator[Store]:
    """An empty graph."""
    store = await Store.open(":memory:")
    try:
        yield store
    finally:
        await store.close()


async def change(store: Store, write: Callable[[Tx], object]) -> None:
    """Writes in a transaction of its own."""
    await store.transaction(write, 0)


def a_case(tx: Tx, task: str, place: int = 1) -> StoredCase:
    """A case, with the task that is its errand."""
    spec = TaskSpec(title=task)
    writes.insert_task(tx, writes.NewTask(id=task, spec=spec, priority=2), "me")
    return StoredCase(place=place, name=task, digest="d" * 64, expected=0.5, task=task)


async def test_a_run_is_kept_with_its_cases_in_order() -> None:
    """And the last one is meant where none is named."""
    async with a_store() as store:

        def write(tx: Tx) -> None:
            assert calibration.next_number(tx) == 1
            cases = [a_case(tx, name, place) for place, name in enumerate("ba", 1)]
            calibration.insert_run(tx, RUN, cases)
            calibration.keep_answer(tx, "b", 0.25, {}, "no tests")
            calibration.keep_answer(tx, "z", 1, {}, None)

        await change(store, write)

        def check(tx: Tx) -> None:
            assert calibration.run_of(tx, None) == RUN
            first, second = calibration.cases(tx, 1)
            assert (first.task, first.answer) == (
                "b",
                Answer(score=0.25, notes="no tests"),
            )
            assert (first.settled, second.task, second.settled) == (True, "a", False)

        await store.read(check, 0)


async def test_a_run_that_is_not_there_is_said_to_be_none() -> None:
    """With the command that makes one."""
    async with a_store() as store:
        for number in (None, 3):
            with pytest.raises(NotFoundError) as refused:
                await store.read(partial(calibration.run_of, number=number), 0)
            assert "--canary FILE" in refused.value.hint


async def test_earlier_answers_are_those_of_the_same_evaluator_and_rubric() -> None:
    """Not of later runs, and none that were never given."""
    async with a_store() as store:

        def write(tx: Tx) -> None:
            runs = (
                RUN,
                replace(RUN, number=2, actor_id="d" * 64),
                replace(RUN, number=3, rubric="0"),
                replace(RUN, number=4),
                replace(RUN, number=5),
                replace(RUN, number=6),
            )
            for run in runs:
                task = f"t{run.number}"
                calibration.insert_run(tx, run, [a_case(tx, task)])
                if run.number != 4:
                    score = run.number / 10
                    calibration.keep_answer(tx, task, score, {}, None)

        await change(store, write)

        def check(tx: Tx) -> None:
            found = list(calibration.earlier(tx, replace(RUN, number=5)))
            assert found == [Earlier(run=1, at=1000, digest="d" * 64, score=0.1)]

        await store.read(check, 0)


async def test_overrides_are_what_operators_say_beside_the_evaluator() -> None:
    """Of the same attempt, by the same rubric."""
    async with a_store() as store:

        def write(tx: Tx) -> None:
            for task in "abcd":
                a_case(tx, task)
            tx.many(
                REWARD,
                [
                    ("a", 1, "evaluator", 0.9, "1", "critic"),
                    ("a", 1, "operator", 0.5, "1", "me"),
                    ("a", 2, "evaluator", 0.9, "1", "critic"),
                    ("b", 1, "evaluator", 0.5, "1", "critic"),
                    ("b", 1, "operator", 0.7, "1", "me"),
                    ("c", 1, "evaluator", 0.5, "1", "other"),
                    ("c", 1, "operator", 0.0, "1", "me"),
                    ("d", 1, "evaluator", 0.5, "0", "critic"),
                    ("d", 1, "operator", 0.0, "1", "me"),
                ],
            )

        await change(store, write)

        count, found = await store.read(
            lambda tx: calibration.overrides(tx, "critic", "1"), 0
        )
        nobody = await store.read(lambda tx: calibration.overrides(tx, "me", "1"), 0)

        assert count == 2
        assert found is not None
        assert found.mean == pytest.approx(-0.1)
        assert found.low is not None
        assert found.low < -0.1
        assert nobody == (0, None)
        assert isinstance(found, Interval)
