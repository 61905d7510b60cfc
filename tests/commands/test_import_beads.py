"""The lines of `bd export`: what has an equal gets there, the rest is kept."""

import json
import time
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import ANY_JSON, NOW, Graph, a_graph
from workgraph.commands.beads import Beads
from workgraph.commands.beads_issue import Place
from workgraph.commands.import_beads import import_beads
from workgraph.commands.transfer import import_graph
from workgraph.commands.transfer_lines import TaskLine
from workgraph.graph.errors import ConflictError, UserError, WorkgraphError
from workgraph.graph.model import Task
from workgraph.graph.replies import ImportedData
from workgraph.graph.status import Status
from workgraph.store import history, reads

AT = "2026-02-01T10:00:00Z"


def issue(task: str = "bd-1", **fields: Any) -> dict[str, Any]:
    """An issue as `bd export` writes it."""
    base = {
        "_type": "issue",
        "id": task,
        "title": f"The {task}",
        "status": "open",
        "priority": 2,
        "issue_type": "task",
        "created_at": AT,
        "updated_at": AT,
        "dependency_count": 0,
        "dependent_count": 0,
        "comment_count": 0,
    }
    return base | fields


def on(task: str, *targets: str, kind: str = "blocks", **fields: Any) -> dict[str, Any]:
    """What an issue depends on, as a field of it."""
    return {
        "dependencies": [
            {
                "issue_id": task,
                "depends_on_id": target,
                "type": kind,
                "created_at": AT,
                "created_by": "ann",
                "metadata": "{}",
            }
            | fields
            for target in targets
        ]
    }


def both(*parts: dict[str, Any]) -> dict[str, Any]:
    """Dependencies of more than one kind."""
    return {"dependencies": [one for part in parts for one in part["dependencies"]]}


def file_of(*lines: dict[str, Any]) -> str:
    """A file of beads."""
    return "".join(f"{json.dumps(line)}\n" for line in lines)


async def take(graph: Graph, text: str) -> ImportedData:
    """The import."""
    reply = await graph.change(lambda c: import_beads(c, text))
    assert isinstance(reply.data, ImportedData)
    return reply.data


async def tasks_of(graph: Graph) -> dict[str, Task]:
    """All tasks by their ids."""
    return {one.id: one for one in await graph.store.read(reads.every_task, NOW)}


async def imported(*lines: dict[str, Any]) -> tuple[dict[str, Task], str]:
    """What becomes of issues, and what is said of it."""
    async with a_graph() as graph:
        data = await take(graph, file_of(*lines))
        await graph.check_counts()
        return await tasks_of(graph), "\n".join(data.warnings)


async def waits_of(*lines: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What each waits for, and how."""
    async with a_graph() as graph:
        await take(graph, file_of(*lines))
        found: dict[str, dict[str, str]] = {}
        for task in await tasks_of(graph):
            edges = await graph.store.read(partial(reads.edges, task_id=task), NOW)
            found[task] = {edge.id: edge.on for edge in edges}
        return found


async def test_every_field_that_has_an_equal_gets_there() -> None:
    """Their words, our names; the texts in one."""
    tasks, said = await imported(
        issue(
            description="Do it",
            design="Thus",
            acceptance_criteria="- it works",
            notes="Careful",
            priority=0,
            issue_type="bug",
            labels=["x", "y"],
            estimated_minutes=90,
            defer_until="2099-01-01T00:00:00Z",
        )
    )

    task = tasks["bd-1"]
    assert task.spec.title == "The bd-1"
    assert task.spec.description == (
        "Do it\n\n## Design\n\nThus\n\n## Acceptance criteria\n\n- it works"
        "\n\n## Notes\n\nCareful"
    )
    assert (task.priority, task.spec.tags) == (0, ("x", "y", "bug"))
    assert task.spec.estimate_s == 5400
    assert task.not_before is not None
    assert (task.status, task.paused, task.actor) == (Status.OPEN, False, None)
    assert (dict(task.spec.metadata), said) == ({}, "")


async def test_what_is_closed_is_done_with_its_reason() -> None:
    """Also where it is for somebody, or groups something that is open."""
    tasks, said = await imported(
        issue(
            status="closed",
            issue_type="epic",
            assignee="ann",
            closed_at=AT,
            close_reason="All there",
        ),
        issue("bd-1.1", **on("bd-1.1", "bd-1", kind="parent-child")),
    )

    task = tasks["bd-1"]
    assert (task.status, task.summary, task.actor) == (Status.DONE, "All there", "ann")
    assert task.completed_at is not None
    assert tasks["bd-1.1"].status is Status.OPEN
    assert said == ""


@pytest.mark.parametrize(
    ("fields", "paused"),
    [
        ({"status": "open"}, False),
        ({"status": "in_progress"}, False),
        ({"status": "hooked"}, False),
        ({"status": "blocked"}, True),
        ({"status": "deferred"}, True),
        ({"status": "deferred", "defer_until": "2099-01-01T00:00:00Z"}, False),
        ({"status": "deferred", "defer_until": "2020-01-01T00:00:00Z"}, False),
        ({"status": "pinned"}, True),
        ({"status": "open", "pinned": True}, True),
        ({"status": "in-review"}, True),
    ],
)
async def test_statuses_by_the_table(fields: dict[str, Any], *, paused: bool) -> None:
    """What nobody is to work on now is paused, unless it says until when."""
    tasks, said = await imported(issue(**fields))

    assert (tasks["bd-1"].status, tasks["bd-1"].paused) == (Status.OPEN, paused)
    assert ("it comes in paused" in said) == paused


async def test_what_is_blocked_by_another_waits_for_it() -> None:
    """It is not paused besides: it goes on by itself."""
    tasks, _ = await imported(
        issue(status="blocked", **on("bd-1", "bd-2")), issue("bd-2")
    )

    assert not tasks["bd-1"].paused


async def test_dependencies_that_block_are_waited_for() -> None:
    """The rest is kept as links; what is waited for only where it fails is paused."""
    lines = (
        issue("a", **both(on("a", "b"), on("a", "c", kind="related"))),
        issue("b", **on("b", "c", kind="conditional-blocks")),
        issue("c", **on("c", "d", kind="discovered-from")),
    )
    found = await waits_of(*lines)
    tasks, said = await imported(*lines)

    assert found == {"a": {"b": "done"}, "b": {"c": "settled"}, "c": {}}
    assert tasks["a"].spec.metadata["links"] == {"related": ["c"]}
    assert tasks["c"].spec.metadata["links"] == {"discovered-from": ["d"]}
    assert tasks["b"].paused
    assert "only for when another fails" in said


async def test_a_group_waits_for_its_parts_and_is_for_a_person() -> None:
    """And what keeps it from being worked on keeps them."""
    lines = (
        issue("e", issue_type="epic", owner="ann@here", **on("e", "before")),
        issue("e.1", **on("e.1", "e", kind="parent-child")),
        issue("e.1.1", **on("e.1.1", "e.1", kind="parent-child")),
        issue("before"),
        issue("later", **on("later", "e", kind="waits-for")),
    )
    found = await waits_of(*lines)
    tasks, said = await imported(*lines)

    assert found["e"] == {"before": "done", "e.1": "done"}
    assert found["e.1"] == {"e.1.1": "done", "before": "done"}
    assert found["e.1.1"] == {"before": "done"}
    assert found["later"] == {"e": "done", "e.1": "done"}
    assert (tasks["e"].actor, tasks["e.1"].actor) == ("ann@here", None)
    assert "epic: it is for a person to close" in said


async def test_what_is_only_for_a_failure_keeps_no_parts_waiting() -> None:
    """They would wait for the opposite: that it is done."""
    found = await waits_of(
        issue("e", issue_type="epic", **on("e", "risky", kind="conditional-blocks")),
        issue("e.1", **on("e.1", "e", kind="parent-child")),
        issue("risky"),
    )

    assert found["e"] == {"e.1": "done", "risky": "settled"}
    assert found["e.1"] == {}


async def test_who_waits_for_its_own_group_wins() -> None:
    """The group can't wait for it then."""
    lines = (
        issue("e", issue_type="epic"),
        issue("e.1", **both(on("e.1", "e", kind="parent-child"), on("e.1", "e"))),
        issue("e.2", **on("e.2", "e", kind="parent-child")),
    )
    found = await waits_of(*lines)
    _, said = await imported(*lines)

    assert found["e"] == {"e.2": "done"}
    assert found["e.1"] == {"e": "done"}
    assert "it groups what it waits for" not in found
    assert "the latter holds" in said


async def test_a_cycle_of_their_words_refuses_the_import() -> None:
    """As in any import; the message shows it."""
    text = file_of(issue("a", **on("a", "b")), issue("b", **on("b", "a")))
    async with a_graph() as graph:
        with pytest.raises(WorkgraphError, match="a -> b -> a"):
            await take(graph, text)
        assert await tasks_of(graph) == {}


async def test_what_waits_for_what_is_nowhere_is_paused() -> None:
    """It is kept what that was; what is over is not."""
    tasks, said = await imported(
        issue("a", **on("a", "external:other:thing")),
        issue("b", status="closed", closed_at=AT, **on("b", "gone")),
    )

    assert tasks["a"].paused
    assert tasks["a"].spec.metadata["after"] == ["external:other:thing"]
    assert (tasks["b"].paused, tasks["b"].status) == (False, Status.DONE)
    assert "it waits for what is not there" in said


async def test_a_dependency_on_a_task_of_the_graph_is_one() -> None:
    """A second file can build upon the first."""
    async with a_graph() as graph:
        await take(graph, file_of(issue("a")))
        await take(graph, file_of(issue("b", **on("b", "a"))))
        with pytest.raises(ConflictError):
            await take(graph, file_of(issue("a")))

        edges = await graph.store.read(lambda tx: reads.edges(tx, "b"), NOW)
        assert [edge.id for edge in edges] == ["a"]


async def test_people_keep_what_is_theirs() -> None:
    """An actor's is an actor's; who is none is a person, and that is said once."""
    async with a_graph() as graph:
        await graph.change(lambda c: import_graph(c, '{"kind":"actor","name":"bob"}'))
        data = await take(
            graph,
            file_of(
                issue("a", assignee="bob"),
                issue("b", assignee="Ann Lee", status="in_progress"),
                issue("c", assignee="Ann Lee"),
            ),
        )
        tasks = await tasks_of(graph)

    said = "".join(data.warnings)
    assert [tasks[one].actor for one in "abc"] == ["bob", "Ann Lee", "Ann Lee"]
    assert said.count("it is for Ann Lee") == 1
    assert "bob" not in said
    assert tasks["b"].spec.metadata["status"] == "in_progress"


async def test_what_has_no_equal_is_kept_and_said() -> None:
    """Their own metadata, too, under its own names."""
    tasks, said = await imported(
        issue(
            external_ref="gh-9",
            due_at=AT,
            metadata={"files": ["a"]},
            owner="ann@here",
            priority=9,
        )
    )

    kept = dict(tasks["bd-1"].spec.metadata)
    assert kept == {
        "external_ref": "gh-9",
        "due_at": AT,
        "files": ["a"],
        "owner": "ann@here",
        "priority": 9,
    }
    assert tasks["bd-1"].priority == 2
    assert "'external_ref' has no equal here: kept as metadata" in said


async def test_what_is_no_work_is_left_out() -> None:
    """Notes of agents, templates, what was deleted; what waits for one does not."""
    tasks, said = await imported(
        {"_schema": "beads-jsonl/1", "_sort": "stable-v1"},
        {"_type": "memory", "key": "k", "value": "v"},
        issue("m", issue_type="message"),
        issue("t", is_template=True),
        issue("w", ephemeral=True),
        issue("d", status="tombstone"),
        issue("a", **on("a", "d", "w")),
    )

    assert set(tasks) == {"a"}
    assert not tasks["a"].paused
    for words in ("type memory", "message is no work", "a template", "was deleted"):
        assert words in said


async def test_ids_that_are_none_here_are_made_some() -> None:
    """What names them names them by the new ones."""
    found = await waits_of(
        issue("MyApp-1"),
        issue("myapp-1", **both(on("myapp-1", "MyApp-1"))),
    )

    assert found == {"myapp-1-2": {}, "myapp-1": {"myapp-1-2": "done"}}


async def test_comments_are_in_the_log() -> None:
    """With who has said them, and when; what can't be read is said."""
    comments = [
        {"id": "1", "issue_id": "a", "author": "ann", "text": "hm", "created_at": AT},
        {"id": 2, "author": "agent-7", "text": "yes"},
        "?",
    ]
    async with a_graph() as graph:
        data = await take(
            graph, file_of(issue("a", comments=comments, created_by="bob"))
        )
        rows = await graph.store.read(lambda tx: history.task_log(tx, "a"), NOW)

    assert [(row.by, row.reason) for row in rows if row.kind == "log"] == [
        ("ann", "hm"),
        ("beads/agent-7", "yes"),
    ]
    assert any(row.by == "bob" and row.kind == "task_added" for row in rows)
    assert "a comment can't be read" in "".join(data.warnings)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "broken JSON"),
        ("[]", "not a JSON object"),
        ('{"title":"x"}', "no id"),
        ('{"id":"a","title":"again"}', "was there before"),
    ],
)
async def test_a_line_that_can_not_be_read_is_named(text: str, word: str) -> None:
    """And nothing comes in."""
    async with a_graph() as graph:
        before = await graph.dump()
        with pytest.raises(UserError, match=f"line 2.*{word}"):
            await take(graph, file_of(issue("a")) + text)
        assert await graph.dump() == before


IDS = st.sampled_from(["a", "a.1", "a.2", "b", "c", "Ö X"])
KEYS = st.sampled_from(
    [
        "description design acceptance_criteria notes status priority issue_type owner",
        "assignee estimated_minutes created_at created_by updated_at closed_at pinned",
        "close_reason due_at defer_until metadata labels comments title dependencies",
    ]
).flatmap(lambda line: st.sampled_from(line.split()))
DEPENDENCIES = st.lists(
    st.fixed_dictionaries(
        {
            "depends_on_id": IDS,
            "type": st.sampled_from(
                ["blocks", "parent-child", "waits-for", "conditional-blocks", "related"]
            ),
        }
    ),
    max_size=3,
)
LINES = st.builds(
    lambda given, more: given | more,
    st.dictionaries(KEYS, ANY_JSON, max_size=4),
    st.fixed_dictionaries(
        {"id": IDS},
        optional={
            "dependencies": DEPENDENCIES,
            "status": st.sampled_from(["open", "closed", "blocked", "deferred"]),
            "issue_type": st.sampled_from(["task", "epic", "gate"]),
        },
    ),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=6, unique_by=lambda line: line["id"]))
async def test_anything_comes_in_whole_or_not_at_all(
    lines: list[dict[str, Any]],
) -> None:
    """Whatever stands in the fields: no crash, no half, counts as a recount gives."""
    async with a_graph() as graph:
        before = await graph.dump()
        try:
            data = await take(graph, file_of(*lines))
        except WorkgraphError:
            assert await graph.dump() == before
            return
        assert data.tasks <= len(lines)
        await graph.check_counts()


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=30
    )
)
def test_grouping_never_closes_a_cycle(ties: list[tuple[int, int, bool]]) -> None:
    """Where what issues say themselves has none, what is made of them has none."""
    deps: dict[int, list[dict[str, Any]]] = {number: [] for number in range(10)}
    for task, target, is_group in ties:
        if is_group or task > target:
            kind = "parent-child" if is_group else "blocks"
            deps[task].append({"depends_on_id": str(target), "type": kind})
    text = file_of(*(issue(str(n), dependencies=found) for n, found in deps.items()))
    beads = Beads(text, Place(now=NOW, actors=(), importer="me"))
    waits = {
        line.id or "": {str(one) for one in line.after or ()}
        for _, line in beads.lines(())
        if isinstance(line, TaskLine)
    }

    done: set[str] = set()
    while free := [one for one in waits if one not in done and done >= waits[one]]:
        done.update(free)
    assert done == set(waits)


async def test_a_large_file_takes_seconds() -> None:
    """Groups in groups, each with something before it, and with comments."""
    size = 3_000
    said = [{"author": "x", "text": "done", "created_at": AT}]
    text = file_of(
        *(
            issue(
                f"t{n}",
                comments=said,
                **both(
                    on(f"t{n}", *([f"t{n // 30}"] if n else []), kind="parent-child"),
                    on(f"t{n}", *([f"t{n - 1}"] if n % 7 == 1 else [])),
                ),
            )
            for n in range(size)
        )
    )
    async with a_graph() as graph:
        began = time.monotonic()
        data = await take(graph, text)

        assert data.tasks == size
        assert time.monotonic() - began < 20
