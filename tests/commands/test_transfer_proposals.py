"""Proposals in an export: they round-trip, and what does not fit is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.commands.transfer_graph import (
    JSON,
    MOMENT,
    OPTIONAL,
    TEXT,
    TEXTS,
    a_graph,
    assert_round_trip,
    lines,
)
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.proposals import FIELDS, OPEN, Becomes, Look, Proposal
from workgraph.store import proposals

IDS = st.sampled_from(["a" * 64, "0" * 64, "0123456789abcdef" * 4])
FRACTION = st.floats(0, 1)
LOOKS = st.builds(
    Look,
    number=st.integers(1, 3),
    at=MOMENT,
    child_count=st.integers(0, 99),
    child_mean=FRACTION,
    parent_count=st.integers(0, 99),
    parent_mean=FRACTION,
    probability=FRACTION,
)
CHANGES = st.builds(
    Becomes,
    description=OPTIONAL,
    outcome=OPTIONAL,
    accept=st.none() | TEXTS,
    reject=st.none() | TEXTS,
    skills=st.none() | TEXTS,
    model=OPTIONAL,
)
STORED = st.builds(
    Proposal,
    number=st.just(0),
    kind=st.sampled_from(sorted(FIELDS)),
    subject=IDS,
    change=CHANGES,
    evidence=st.dictionaries(TEXT, JSON, max_size=3),
    reason=TEXT,
    by=TEXT,
    created_at=MOMENT,
    started_at=MOMENT,
    child=IDS,
    share=FRACTION,
    looks=st.lists(LOOKS, max_size=3).map(tuple),
    approved_by=OPTIONAL,
    result=OPTIONAL,
)
STATUSES = st.sampled_from(
    ["proposed", "waiting", "trial", "promoted", "retired", "rejected"]
)


def _sound(number: int, one: Proposal, status: Any) -> Proposal:
    """As one that could be stored: with fields of its kind, ended or not."""
    change = {
        name: value if name in FIELDS[one.kind] else None
        for name, value in structs.asdict(one.change).items()
    }
    return structs.replace(
        one,
        number=number,
        change=Becomes(**change),
        status=status,
        ended_at=None if status in OPEN else one.created_at,
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(STORED, STATUSES), min_size=1, max_size=3))
async def test_proposals_round_trip(found: list[tuple[Proposal, Any]]) -> None:
    """Whatever is in their texts and numbers."""
    stored = [_sound(n, *pair) for n, pair in enumerate(found, start=1)]
    async with a_graph() as graph:
        await graph.change(lambda context: proposals.insert(context.tx, stored))
        assert await graph.change(lambda context: proposals.every(context.tx)) == stored

        rows = await assert_round_trip(graph)

    assert [row["number"] for row in rows] == [one.number for one in stored]


A_LINE = {
    "kind": "proposal",
    "number": 1,
    "proposes": "role",
    "subject": "a" * 64,
    "change": {"outcome": "It works."},
    "reason": "it does not",
    "status": "proposed",
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"subject": "bob"}, "subject: 'bob' is no id"),
        ({"child": "A" * 64}, "child: 'A"),
        ({"change": {"skills": ["rust"]}}, "change: skills is not of a role"),
        ({"status": "promoted"}, "ended_at: it does not go with promoted"),
        ({"ended_at": "2030-01-01T00:00:00Z"}, "ended_at: it does not go"),
        ({"status": "trial"}, "a trial has a child"),
        ({"status": "lost"}, "status"),
        ({"share": 2}, "share"),
        ({"number": 0}, "number"),
        ({"created_at": "soon"}, "created_at"),
    ],
)
async def test_what_no_proposal_can_be_is_refused(
    changed: dict[str, Any], words: str
) -> None:
    """With the line."""
    async with a_graph() as graph:
        with pytest.raises(UserError, match=f"line 1: .*{words}"):
            await graph.take(lines(A_LINE | changed))


async def test_a_number_is_taken_once() -> None:
    """In a file, and in the graph."""
    async with a_graph() as graph:
        with pytest.raises(UserError, match="in line 1 already"):
            await graph.take(lines(A_LINE, A_LINE))
        await graph.take(lines(A_LINE))
        with pytest.raises(ConflictError, match="there is another proposal 1"):
            await graph.take(lines(A_LINE))
