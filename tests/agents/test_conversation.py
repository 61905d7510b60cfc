"""What a chat's handler is told: within its limits, and no way out of its blocks."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.agents.test_context import NASTY, explains, own_lines
from workgraph.agents.blocks import make_safe, size_of, tokens_of
from workgraph.agents.choices import PlanError
from workgraph.agents.conversation import RULES, compile_opening, compile_turn
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.context_view import Compiled, NamedTask
from workgraph.graph.conversation_view import (
    ConversationView,
    GraphView,
    Heard,
    Said,
    Standing,
)
from workgraph.graph.tokens import bytes_of

ENOUGH = 80_000


def said(number: int, text: str, **fields: Any) -> Said:
    """A message of me."""
    values: dict[str, Any] = {"at": 0, "by": "me", "kind": "message"} | fields
    return Said(number=number, text=text, size=size_of(text), **values)


def a_change(seq: int, kind: ChangeKind, task: str | None = "a", **more: Any) -> Change:
    """Something that has happened to a task."""
    return Change(seq=seq, at=0, kind=kind.value, task=task, **more)


def heard(*changes: Change, **more: Any) -> Heard:
    """What has changed, the newest last here."""
    tasks = {
        c.task: NamedTask(id=c.task, title="T", status="open")
        for c in changes
        if c.task
    }
    return Heard(changes=tuple(reversed(changes)), tasks=tasks, **more)


def a_view(**fields: Any) -> ConversationView:
    """A chat about nothing in an empty graph."""
    return ConversationView(**({"task": ".chat-1", "name": "C", "by": "me"} | fields))


def talked(*texts: str, **fields: Any) -> ConversationView:
    """A chat in which this was said, the first of it first."""
    messages = [said(number, text) for number, text in enumerate(texts, 1)]
    return a_view(said=tuple(reversed(messages)), said_in_all=len(messages), **fields)


def opening(
    view: ConversationView, limit: int = ENOUGH, history: int = 20_000
) -> Compiled:
    """What is told at a start."""
    return compile_opening(view, limit, history)


def names(compiled: Compiled) -> list[str]:
    """Its blocks."""
    return [block.name for block in compiled.blocks]


def hostile(text: str) -> ConversationView:
    """A view in which everything that can be said is this text."""
    standing = Standing(id="a", title=text, status="open", reason=text)
    named = NamedTask(id="a", title=text, status="open")
    change = a_change(1, ChangeKind.STATUS_CHANGED, by=text, from_="open", to="done")
    change = replace(change, reason=text)
    return a_view(
        name=text or "c",
        by=text,
        description=text,
        prompt=text,
        project_dir=f"/{text}",
        graph=GraphView(
            counts={"open": 1},
            running=(standing,),
            failed=(standing,),
            for_people=(standing,),
        ),
        heard=Heard(changes=(change,), tasks={"a": named}),
        added=(named,),
        said=(said(2, text, by=text, kind="reply", reply_to=1), said(1, text, by=text)),
        said_in_all=2,
        message=said(3, text, by=text),
    )


def is_harmless(compiled: Compiled, harmless: Compiled) -> None:
    """All its own lines are those of harmless texts, or say of a cut."""
    known = {line.split("…")[0] for line in own_lines(harmless)}
    for line in own_lines(compiled):
        assert "… cut: " in line or line in known, line
    for character in "\x1b\r\x0b\u2028\x85":
        assert character not in compiled.text


@given(NASTY, st.integers(1200, 6000), st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_no_text_leaves_its_block(text: str, limit: int, history: int) -> None:
    """Each line with the mark is one that a harmless text has, too."""
    try:
        compiled = opening(hostile(text), limit, history)
    except PlanError:
        assert limit < 3000
        return

    assert compiled.tokens <= limit
    assert compiled.tokens == tokens_of(compiled.text)
    assert explains(compiled)
    assert compiled == opening(hostile(text), limit, history)
    is_harmless(compiled, opening(hostile("x")))


@given(NASTY, st.integers(800, 3000))
@settings(max_examples=100, deadline=None)
def test_a_message_does_not_leave_its_block(text: str, limit: int) -> None:
    """What comes with it neither."""
    compiled = compile_turn(hostile(text), limit)

    assert compiled.tokens <= limit
    is_harmless(compiled, compile_turn(hostile("x"), ENOUGH))


@given(
    st.lists(st.one_of(NASTY, st.text(max_size=2000)), max_size=30),
    st.integers(200, 3000),
)
@settings(max_examples=150, deadline=None)
def test_a_history_is_within_its_limit_and_has_the_newest(
    texts: list[str], history: int
) -> None:
    """What is left out is at its beginning, and is counted."""
    compiled = opening(talked(*texts), ENOUGH, history)

    blocks = [block for block in compiled.blocks if block.name == "history"]
    if not texts:
        assert blocks == []
        return
    assert blocks[0].tokens <= history + 1
    text = compiled.text.partition("===== history\n")[2]
    shown = [
        n for n in range(1, len(texts) + 1) if f"\n===== message {n}, " in f"\n{text}"
    ]
    assert shown == list(range(len(texts) + 1 - len(shown), len(texts) + 1))
    missing = len(texts) - len(shown)
    assert (f"cut: {missing} earlier messages" in text) == bool(missing)
    assert ("earlier messages" in text) == bool(missing)


@pytest.mark.parametrize("line", ["x", "é", "\x1b", "\U000e0041", "===== \n"])
def test_a_long_message_leaves_room_for_others_and_takes_no_time(line: str) -> None:
    """10 MB of it are cut, whatever they are made of, and said to be."""
    view = talked("short", line * (10_000_000 // size_of(line)), "and last")

    began = time.thread_time()
    compiled = opening(view)

    assert time.thread_time() - began < 1
    assert compiled.tokens < 20_000
    text = compiled.text.partition("===== history\n")[2]
    for shown in ("short\n", "===== message 2, ", "… cut: ", "and last\n"):
        assert shown in text, shown


def test_no_part_of_a_secret_is_shown_at_a_cut() -> None:
    """It is taken out before the text is cut."""
    secret = "s3cret" * 40
    text = "x" * (bytes_of(2000) // 4 - 30) + secret + "y" * 9000

    compiled = compile_opening(
        talked(text), ENOUGH, 2000, hide=lambda t: t.replace(secret, "***")
    )

    assert "s3cret" not in compiled.text


def test_a_new_session_is_told_everything() -> None:
    """The rules, what it is for, the graph, what was said, and the message last."""
    view = talked(
        "hello",
        description="plan the release",
        graph=GraphView(
            counts={"open": 2, "done": 0, "failed": 1},
            paused=True,
            running=(Standing(id="r", title="R", status="by agent-3"),),
            failed=(Standing(id="f", title="F", status="failed", reason="crashed: 1"),),
            for_people=(Standing(id="q", title="Q", status="waiting", reason="Or?"),),
        ),
        added=(NamedTask(id="mine", title="M", status="open"),),
        message=said(2, "what now?"),
    )

    compiled = opening(view)

    blocks = ["rules", "chat", "graph", "added", "history", "message"]
    assert names(compiled) == blocks
    for text in (
        "plan the release",
        "tasks: 2 open, 1 failed\nthe service is paused",
        "a person has to look at: q, waiting\nQ\nOr?\n",
        "has failed: f, failed\nF\ncrashed: 1\n",
        "runs: r, by agent-3\nR\n",
        "===== mine: open\nM\n",
        "===== message 1, 1970-01-01T00:00:00.000Z, from\nme\nhello\n",
    ):
        assert text in compiled.text, text
    assert compiled.text.endswith(
        "===== message\n===== message 2, from\nme\n===== text\nwhat now?\n"
        "===== end of message\n\n"
    )


def test_a_session_that_goes_on_is_told_what_is_new() -> None:
    """Neither the rules again nor what was said; the graph where it can't be listed."""
    change = a_change(7, ChangeKind.TASK_ADDED, by="ann", reason="T")
    view = talked("hello", resumed=True, message=said(2, "what now?"))

    unchanged = opening(view)
    changed = opening(replace(view, heard=heard(change)))
    flooded = opening(replace(view, heard=heard(change, earlier=3)))

    assert names(unchanged) == ["goes on", "message"]
    assert names(changed) == ["goes on", "changes", "message"]
    assert names(flooded) == ["goes on", "graph", "changes", "message"]
    assert "===== a: open now\nT\nadded, by ann\n" in changed.text
    assert "3 earlier changes are not listed" in flooded.text


def test_a_message_comes_alone_where_nothing_has_changed() -> None:
    """What it has changed itself is nothing new, and neither is what is not told."""
    own = a_change(1, ChangeKind.TASK_ADDED, by="agent-1")
    dull = a_change(2, ChangeKind.PROGRESS_REPORTED)
    view = a_view(message=said(5, "hello"), heard=heard(own, dull, own=frozenset({1})))

    text = compile_turn(view, ENOUGH).text

    assert text == (
        "===== message\n===== message 5, from\nme\n===== text\nhello\n"
        "===== end of message\n\n"
    )


def test_changes_are_told_task_by_task() -> None:
    """The newest first, each with the last that has happened to it, and why."""
    status = ChangeKind.STATUS_CHANGED
    view = a_view(
        message=said(5, "hello"),
        heard=heard(
            a_change(1, ChangeKind.TASK_ADDED, by="ann", reason="T"),
            a_change(2, ChangeKind.EDGE_ADDED, by="ann", to="z", reason="done"),
            a_change(3, ChangeKind.TASK_ADDED, "b", by="ann", reason="T"),
            a_change(
                4, status, from_="open", to="in-progress", verb="claim", reason="argv"
            ),
            a_change(5, status, from_="in-progress", to="failed", reason="no\nroom"),
            a_change(6, ChangeKind.SERVICE_PAUSED, None, by="ann"),
        ),
    )

    text = compile_turn(view, ENOUGH).text

    changes = text.partition("===== changes\n")[2].partition("===== end")[0]
    assert changes == (
        "===== the service\nthe service was paused, by ann\n"
        "===== a: open now\nT\n… 1 before\n"
        "waits for z, by ann\n"
        "open -> in-progress, by workgraph\n"
        "in-progress -> failed, by workgraph: no room\n"
        "===== b: open now\nT\nadded, by ann\n"
    )


def test_many_changes_are_counted() -> None:
    """Forty tasks are named."""
    added = [a_change(n, ChangeKind.TASK_ADDED, f"t{n}") for n in range(1, 101)]
    view = a_view(message=said(5, "hello"), heard=heard(*added, earlier=1000))

    text = compile_turn(view, ENOUGH).text

    assert text.count(" now\n") == 40
    assert "===== t100: open now" in text
    assert "===== 1060 earlier changes are not listed" in text


def test_what_can_not_be_left_out_has_a_remedy() -> None:
    """A limit that the rules alone fill."""
    with pytest.raises(PlanError, match="at the least") as caught:
        opening(a_view(), tokens_of(RULES) - 10)

    assert "[context].limit" in str(caught.value.hint)


def test_control_characters_of_a_message_are_written_out() -> None:
    """As everywhere."""
    view = a_view(message=said(1, "a\x1b[2Jb"))

    assert make_safe("a\x1b[2Jb") in compile_turn(view, ENOUGH).text
