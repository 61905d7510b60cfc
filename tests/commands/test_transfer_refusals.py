"""Imports that are refused: the line is named, and nothing comes in."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.commands.transfer_graph import (
    Graph,
    a_graph,
    an_agent,
    lines,
)
from workgraph.graph.errors import ConflictError, NotFoundError, UserError

A_TASK = {"id": "good", "title": "good"}
BAD: dict[str, tuple[str, str]] = {
    "broken": ('{"title": "x"', "broken JSON"),
    # which of both it is depends on how deep this Python lets a decoder go
    "deep": ('{"title":"x","m":' + "[" * 5000 + "]" * 5000 + "}", ""),
    "deepish": (
        '{"title":"x","m":' + "[" * 200 + "]" * 200 + "}",
        "levels of unknown values",
    ),
    "out of range": ('{"title":"x","m":1e999}', "broken JSON"),
    "surrogate": ('{"title":"\\ud800"}', "broken JSON"),
    "lone surrogate": ('{"title":"\ud800"}', "broken JSON"),
    "two documents": ('{"title":"x"} {"title":"y"}', "broken JSON"),
    "a list": ("[1]", "not a JSON object"),
    "a text": ('"title"', "not a JSON object"),
    "no kind": ("{}", "neither kind nor title"),
    "unknown kind": ('{"kind":"dragon","title":"x"}', "the kind 'dragon'"),
    "odd kind": ('{"kind":7,"title":"x"}', "the kind 7"),
    "no title": ('{"kind":"task","id":"x"}', "it has no `title`"),
    "empty title": ('{"title":" \\n"}', "title: it is empty"),
    "wrong type": ('{"title":"x","tags":"y"}', "tags: expected `array`, got `str`"),
    "wrong value": ('{"title":"x","review":"maybe"}', "review: invalid enum value"),
    "priority": ('{"title":"x","priority":5}', "priority: expected `int` <= 4"),
    "status": ('{"title":"x","status":"odd"}', "status: invalid enum value 'odd'"),
    "gate": ('{"title":"x","gate":"human"}', "gate: a task that is open"),
    "gate name": ('{"title":"x","status":"pending-review","gate":"x"}', "gate: 'x'"),
    "huge": ('{"title":"x","attempts":99999999999999999999}', "attempts: expected"),
    "moment": ('{"title":"x","created_at":"soon"}', "created_at: 'soon'"),
    "old": ('{"title":"x","created_at":"1890-01-01T00:00:00Z"}', "between 1970"),
    "late": ('{"title":"x","created_at":"9999-12-31T23:00:00-09:00"}', "between 1970"),
    "duration": ('{"title":"x","timeout_s":1e300}', "timeout_s: 1e+300"),
    "attempts": ('{"title":"x","max_attempts":0}', "max_attempts: 0"),
    "budget": ('{"title":"x","budget_usd":-1}', "budget: -1.0"),
    "env": ('{"title":"x","env":{"A B":"c"}}', "env: 'A B'"),
    "our env": ('{"title":"x","env":{"WG_DIR":"c"}}', "env: WG_DIR"),
    "NUL": ('{"title":"x","exec":"a\\u0000b"}', "NUL"),
    "exec": ('{"title":"x","exec":"a","executor":"claude"}', "a shell task"),
    "twice": ('{"title":"x","odd":1,"metadata":{"odd":2}}', "'odd' is there twice"),
    "inner key": ('{"title":"x","after":[{"id":"good","if":1}]}', "unknown field `if`"),
    "id": ('{"title":"x","id":"No Id"}', "'No Id' is not an id"),
    "long id": ('{"title":"x","id":"' + "a" * 65 + '"}', "is not an id"),
    "path id": ('{"title":"x","id":"../../x"}', "is not an id"),
    "same id": ('{"title":"x","id":"good"}', "the id good is in line 1 already"),
    "self": ('{"title":"x","id":"x","after":["x"]}', "x -> x"),
    "cycle": (
        """{"kind":"edge","task":"good","after":"x"}
        {"title":"x","id":"x","after":["good"]}""",
        "good would wait for itself: good -> x -> good",
    ),
    "two ways": (
        '{"title":"x","after":["good",{"id":"good","on":"settled"}]}',
        "in two ways",
    ),
    "old cycle": ('{"kind":"edge","task":"there","after":"heir"}', "there -> heir"),
    "done": ('{"kind":"edge","task":"over","after":"heir"}', "over is done"),
    "artifacts": (
        '{"title":"x","artifacts":[{"name":"o","path":"p","sha256":"","size":-1}]}',
        "artifacts[0].size: expected `int` >= 0",
    ),
    "agent": (
        an_agent(id="agent-01", task="good"),
        "'agent-01' is not an agent's id",
    ),
    "working": (
        an_agent(id="agent-1", task="good", status="working"),
        "agent-1 is working",
    ),
    "stray agent": (
        an_agent(id="agent-1", task="there"),
        "the task 'there' is not in this file",
    ),
    "stray log": ('{"kind":"log","task":"nowhere"}', "'nowhere' is not in this file"),
    "percent": ('{"kind":"log","task":"good","percent":101}', "percent: expected"),
    "actor": ('{"kind":"actor","name":"a","id":"x"}', "64 hex digits"),
}


@asynccontextmanager
async def a_graph_with_history() -> AsyncGenerator[Graph]:
    """One in which `heir` waits for `there`, and `over` is done."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                {"id": "there", "title": "t"},
                {"id": "heir", "title": "t", "after": ["there"]},
                {"id": "over", "title": "t", "status": "done"},
                {
                    "kind": "agent",
                    "id": "agent-3",
                    "task": "over",
                    "attempt": 1,
                    "executor": "shell",
                    "started_at": "2026-01-01T00:00:00Z",
                    "ended_at": "2026-01-01T00:00:01Z",
                },
                {"kind": "actor", "name": "bob"},
            )
        )
        yield graph


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_line_is_named_and_nothing_comes_in(case: str) -> None:
    """All or nothing, whatever is wrong and however late it is found out."""
    bad, said = BAD[case]
    async with a_graph_with_history() as graph:
        before = await graph.dump()

        with pytest.raises(UserError) as caught:
            await graph.take(f"{lines(A_TASK)}\n\n{bad}")

        line = 1 if case == "cycle" else 3
        after = await graph.dump()
        assert caught.value.message.startswith(f"line {line}: ")
        assert said in caught.value.message
        assert len(caught.value.message) < 300
        assert caught.value.hint
        assert after == before


@pytest.mark.parametrize(
    "bad",
    [
        '{"title":"x","after":["nowhere"]}',
        '{"title":"x","inputs":["nowhere:out"]}',
        '{"kind":"edge","task":"good","after":"nowhere"}',
        '{"kind":"edge","task":"nowhere","after":"good"}',
    ],
)
async def test_a_dependency_that_is_nowhere_is_not_found(bad: str) -> None:
    """Exit 3, as for `--after`."""
    async with a_graph_with_history() as graph:
        before = await graph.dump()

        with pytest.raises(NotFoundError) as caught:
            await graph.take(f"{lines(A_TASK)}\n{bad}")

        after = await graph.dump()
        assert "'nowhere'" in caught.value.message
        assert "line " in caught.value.message
        assert after == before


@pytest.mark.parametrize(
    "taken",
    [
        '{"title":"x","id":"there"}',
        '{"kind":"actor","name":"bob","role":"' + "0" * 64 + '"}',
        an_agent(id="agent-3", task="good"),
        '{"kind":"log","task":"good","agent":"agent-3"}',
    ],
)
async def test_an_id_that_is_taken_refuses_all(taken: str) -> None:
    """Exit 4, and the line is named."""
    async with a_graph_with_history() as graph:
        before = await graph.dump()

        with pytest.raises(ConflictError) as caught:
            await graph.take(f"{lines(A_TASK)}\n{taken}")

        after = await graph.dump()
        assert caught.value.message.startswith("line 2: ")
        assert caught.value.exit_code == 4
        assert after == before
