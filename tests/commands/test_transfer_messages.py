"""Messages in an export: all that was said, and what can't come in."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import (
    NOW,
    TEXT,
    a_graph,
    an_agent,
    assert_round_trip,
    lines,
)
from workgraph.graph.errors import ConflictError, UserError
from workgraph.store import messages

TASK = {"id": "t", "title": "t"}
ATTEMPT = {"agent": "agent-1", "read_at": "2026-01-01T00:00:00Z"}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            TEXT,
            TEXT,
            st.sampled_from(["message", "question", "answer"]),
            st.booleans(),
        ),
        max_size=5,
    )
)
async def test_any_message_round_trips(said: list[tuple[str, str, str, bool]]) -> None:
    """Whoever said it, in whatever order its line comes in."""
    given_ = [
        {
            "kind": "message",
            "number": number,
            "task": "t",
            "at": "2026-01-01T00:00:00Z",
            "by": by or "me",
            "type": kind,
            "text": text,
            **({"reply_to": number - 1} if replies and number > 1 else {}),
            **({"receipts": [ATTEMPT]} if replies else {}),
        }
        for number, (by, text, kind, replies) in enumerate(said, start=1)
    ]
    async with a_graph() as graph:
        await graph.take("\n".join((lines(*given_[::-1], TASK), an_agent(task="t"))))

        exported = await assert_round_trip(graph)

        found = [one for one in exported if one["kind"] == "message"]
        assert [one["text"] for one in found] == [one["text"] for one in given_]
        assert [one.get("receipts") is None for one in found] == [
            "receipts" not in one for one in given_
        ]


async def test_messages_without_a_number_come_after_the_others() -> None:
    """As they stand in the file; a text and a task are enough."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                TASK,
                {"kind": "message", "task": "t", "text": "three"},
                {"kind": "message", "task": "t", "text": "one", "number": 7},
                {"kind": "message", "task": "t", "text": "four", "reply_to": 7},
            )
        )

        found = await graph.store.read(lambda tx: messages.of_task(tx, "t"), NOW)

        assert [(one.number, one.text, one.by) for one in found] == [
            (7, "one", "ada"),
            (8, "three", "ada"),
            (9, "four", "ada"),
        ]
        assert found[2].question == "one"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"task": "u"}, "line 2: the task 'u' is not in this file"),
        ({"number": 0}, "line 2: number: expected `int` >= 1"),
        ({"type": "order"}, "line 2: type: invalid enum value 'order'"),
        ({"number": 3, "reply_to": 3}, "line 2: reply_to: no message 3"),
        ({"reply_to": 1}, "line 2: reply_to: no message 1"),
        ({"at": "soon"}, "line 2: at: 'soon' is not a time"),
        ({"receipts": [ATTEMPT]}, "line 2: receipts: it has no number"),
        ({"number": 1, "receipts": [ATTEMPT] * 2}, "agent-1 is twice here"),
        (
            {"number": 1, "receipts": [{"agent": "agent-2"}]},
            "line 2: receipts: agent-2 is no attempt of t here",
        ),
        ({"number": 1, "receipts": [{"agent": "x"}]}, "receipts: 'x' is no agent"),
    ],
)
async def test_what_does_not_fit_is_named(line: dict[str, Any], what: str) -> None:
    """And nothing comes in."""
    async with a_graph() as graph:
        before = await graph.dump()
        text = lines(TASK, {"kind": "message", "task": "t", "text": "x", **line})

        with pytest.raises(UserError) as caught:
            await graph.take(f"{text}\n{an_agent(task='t')}")

        assert what in caught.value.message
        assert await graph.dump() == before


async def test_a_number_that_is_taken_refuses_the_import() -> None:
    """In the graph, and in the file."""
    said = {"kind": "message", "task": "t", "text": "x", "number": 1}
    async with a_graph() as graph:
        await graph.take(lines(TASK, said))

        with pytest.raises(ConflictError):
            await graph.take(lines({"id": "u", "title": "u"}, {**said, "task": "u"}))
        with pytest.raises(UserError):
            await graph.take(
                lines(
                    {"id": "u", "title": "u"},
                    {**said, "task": "u", "number": 2},
                    {**said, "task": "u", "number": 2},
                )
            )
