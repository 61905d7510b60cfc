"""The predecessor's `graph.jsonl`: what has an equal gets there, the rest is kept."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import (
    ANY_JSON,
    NOW,
    Graph,
    a_graph,
    assert_round_trip,
)
from tests.invariants import check_invariants
from workgraph.commands.chats import archive_chat
from workgraph.commands.import_wg_rs import import_wg_rs
from workgraph.commands.wg_rs import Predecessor
from workgraph.graph.chat_requests import ArchiveChat
from workgraph.graph.errors import ConflictError, UserError, WorkgraphError
from workgraph.graph.model import Task
from workgraph.graph.replies import ImportedData
from workgraph.graph.status import Status
from workgraph.store import chats, history, loops, reads, waits
from workgraph.store.database import Tx


def old(task: str = "a", **fields: Any) -> dict[str, Any]:
    """A task as the predecessor writes it."""
    base = {"kind": "task", "id": task, "title": f"The {task}", "status": "open"}
    return base | fields


def file_of(*lines: dict[str, Any]) -> str:
    """A file of the predecessor."""
    return "".join(f"{json.dumps(line)}\n" for line in lines)


async def take(graph: Graph, text: str, **files: str) -> ImportedData:
    """The import; `files` by their paths, `__` for `/` and `_` for the dot."""
    beside = {name.replace("__", "/").replace("_", "."): f for name, f in files.items()}
    reply = await graph.change(lambda c: import_wg_rs(c, text, beside))
    assert isinstance(reply.data, ImportedData)
    return reply.data


async def tasks_of(graph: Graph) -> dict[str, Task]:
    """All tasks by their ids."""
    return {one.id: one for one in await graph.store.read(reads.every_task, NOW)}


async def one(**fields: Any) -> Task:
    """What becomes of one task."""
    async with a_graph() as graph:
        await take(graph, file_of(old(**fields)))
        return (await tasks_of(graph))["a"]


async def test_every_field_that_has_an_equal_gets_there() -> None:
    """Their words, our names."""
    task = await one(
        description="Do it\n\nwell",
        priority=50,
        tags=["x", "y"],
        skills=["rust"],
        inputs=["src/a.rs"],
        deliverables=["out.txt"],
        estimate={"hours": 1.5},
        timeout="30m",
        max_retries=2,
        retry_count=1,
        model="claude:opus",
        endpoint="mine",
        working_dir="sub",
        verify="cargo test",
        paused=True,
        independent=True,
        context_scope="graph",
        not_before="2030-01-01T00:00:00Z",
        ready_after="2031-01-01T00:00:00+00:00",
        created_at="2026-02-01T10:00:00.123456789+00:00",
        token_usage={
            "cost_usd": 0.5,
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 7,
        },
    )

    spec = task.spec
    assert spec.title == "The a"
    assert spec.description == "Do it\n\nwell"
    assert task.priority == 1
    assert spec.tags == ("x", "y")
    assert spec.prefers_skills == ("rust",)
    assert spec.inputs == ("src/a.rs",)
    assert spec.outputs == ("out.txt",)
    assert spec.estimate_s == 5400
    assert spec.timeout_s == 1800
    assert spec.max_attempts == 3
    assert task.attempts == 1
    assert (spec.executor, spec.model, spec.endpoint) == ("claude", "opus", "mine")
    assert spec.working_dir == "sub"
    assert spec.verify == ("cargo test",)
    assert task.paused
    assert spec.independent
    assert spec.context_scope == "graph"
    assert task.not_before == 1_924_992_000_000_000
    assert task.created_at == 1_769_940_000_123_000
    assert (task.usage.input_tokens, task.usage.cached_tokens) == (17, 100)
    assert (task.usage.output_tokens, task.usage.cost_usd) == (5, 0.5)
    assert spec.metadata == {}


async def test_what_has_no_equal_is_kept_and_said() -> None:
    """Nothing is lost in silence; what says nothing is not kept."""
    async with a_graph() as graph:
        data = await take(
            graph,
            file_of(
                old("a", requires=["gpu"], visibility="internal", tried_models=[]),
                old("b", requires=["gpu"], agent="f00", cron_schedule="0 2 * * *"),
            ),
        )

        made = await tasks_of(graph)
        assert made["a"].spec.metadata == {"requires": ["gpu"]}
        assert made["b"].spec.metadata["agent"] == "f00"
        assert (
            "line 1 and 1 more: 'requires' has no equal here: kept as metadata"
            in data.warnings
        )


@pytest.mark.parametrize(
    ("said", "status", "paused"),
    [
        ("open", Status.OPEN, False),
        ("blocked", Status.OPEN, False),
        ("in-progress", Status.OPEN, False),
        ("incomplete", Status.OPEN, True),
        ("something", Status.OPEN, True),
        ("waiting", Status.WAITING, False),
        ("pending-validation", Status.PENDING_REVIEW, False),
        ("pending-eval", Status.PENDING_REVIEW, False),
        ("failed-pending-eval", Status.PENDING_REVIEW, False),
        ("pending-review", Status.DONE, False),
        ("done", Status.DONE, False),
        ("failed", Status.FAILED, False),
        ("abandoned", Status.ABANDONED, False),
    ],
)
async def test_statuses_by_the_table(said: str, status: Status, paused: bool) -> None:
    """What was not decided there is for a person to decide here."""
    task = await one(status=said, failure_reason="it broke")

    assert (task.status, task.paused) == (status, paused)
    if status is Status.FAILED:
        assert task.failure is not None
        assert (task.failure.class_, task.failure.reason) == ("failed", "it broke")
    if status is Status.PENDING_REVIEW:
        assert task.gate == "human"


async def test_edges_from_either_end_under_old_and_new_names() -> None:
    """`after` and `blocked_by`, `before` and `blocks` are one table here (rule 10)."""
    async with a_graph() as graph:
        await take(
            graph,
            file_of(
                old("a", before=["b"], blocks=["c"]),
                old("b", after=["a"]),
                old("c", blocked_by=["b"]),
            ),
        )

        edges = await graph.store.read(lambda tx: tx.all(reads.ALL_EDGES), NOW)
        assert sorted(edges) == [
            ("b", "a", "done"),
            ("c", "a", "done"),
            ("c", "b", "done"),
        ]
        await graph.check_counts()


async def test_what_waits_for_a_task_that_is_nowhere_is_paused() -> None:
    """There it was blocked; without the edge it would start."""
    async with a_graph() as graph:
        data = await take(
            graph,
            file_of(old("a", after=["gone"]), old("b", status="done", after=["gone"])),
        )

        made = await tasks_of(graph)
        assert made["a"].paused
        assert not made["b"].paused
        assert made["a"].spec.metadata == {"after": ["gone"]}
        assert "it comes in paused" in " ".join(data.warnings)


async def test_lines_that_are_no_tasks_and_lines_twice() -> None:
    """Comments and blank lines are passed over; the later line of an id holds."""
    text = "\ufeff# mine\n\n" + file_of(
        {"kind": "resource", "id": "gpu"},
        {"kind": "actor", "id": "erik"},
        old("a", title="First"),
        old("a", title="Second"),
    )
    async with a_graph() as graph:
        data = await take(graph, text)

        assert [t.spec.title for t in (await tasks_of(graph)).values()] == ["Second"]
        assert len(data.warnings) == 3


async def test_ids_that_are_none_here_are_made_some() -> None:
    """With all that names them."""
    long = "x" * 80
    async with a_graph() as graph:
        await take(
            graph,
            file_of(old("Fix_IT!"), old(long, after=["Fix_IT!"]), old("fix-it")),
        )

        made = await tasks_of(graph)
        assert set(made) == {"fix_it", "x" * 64, "fix-it"}
        assert made["x" * 64].unmet == 1


async def test_the_machinery_of_the_predecessor_does_nothing_here() -> None:
    """Its assignments and evaluations are nobody's work."""
    async with a_graph() as graph:
        await take(
            graph,
            file_of(
                old(".evaluate-a", status="in-progress"),
                old(".assign-a", status="done"),
                old("assign-b", tags=["assignment", "agency"]),
                old("b", after=["assign-b"]),
            ),
        )

        made = await tasks_of(graph)
        assert made[".evaluate-a"].status is Status.ABANDONED
        assert made[".assign-a"].status is Status.DONE
        assert made["b"].unmet == 0


async def test_commands_are_checks_and_words_are_for_people() -> None:
    """Prose is never run."""
    told = await one(verify="All findings are documented; rm -rf is not used")
    run = await one(verify="./check.sh", validation_commands=["make test"])

    assert told.spec.verify == ()
    assert told.spec.review == "human"
    assert run.spec.verify == ("./check.sh", "make test")
    assert run.spec.review is None


async def test_a_command_is_run_where_it_was_run_there() -> None:
    """With another mode, an agent did the work, and the command was for a person."""
    shell = await one(exec="make all", exec_mode="shell")
    light = await one(exec="make all", exec_mode="light")

    assert shell.spec.exec == "make all"
    assert light.spec.exec is None
    assert light.spec.metadata == {"exec": "make all", "exec_mode": "light"}


async def test_waits_become_waits() -> None:
    """All or any of them; what has no equal is a wait for a message."""
    timer = {"type": "timer", "resume_after": "2030-01-01T00:00:00Z"}
    done = {"type": "task-status", "task_id": "b", "status": "done"}
    odd = {"type": "task-status", "task_id": "b", "status": "in-progress"}
    async with a_graph() as graph:
        await take(
            graph,
            file_of(
                old("b"),
                old("c", status="waiting", wait_condition=spec("all", timer, done)),
                old("d", status="waiting", wait_condition=spec("any", odd, done)),
                old("e", status="waiting", wait_condition=spec("all", odd, done)),
                old("f", status="waiting"),
                old("g", wait_condition=spec("any", {"type": "human-input"})),
            ),
        )

        def look(tx: Tx) -> dict[str, str]:
            return {wait.task: wait.condition for wait in waits.every(tx)}

        assert await graph.store.read(look, NOW) == {
            "c": "timer:2030-01-01T00:00:00.000Z,task:b=done",
            "d": "task:b=done",
            "e": "message",
            "f": "message",
        }
        await assert_round_trip(graph)


def spec(mode: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    """A wait of the predecessor."""
    return {"mode": mode, "conditions": list(conditions)}


async def test_the_log_comes_along() -> None:
    """In order, with who said it; agents there are not ours of that number."""
    async with a_graph() as graph:
        await take(
            graph,
            file_of(
                old(
                    "a",
                    created_at="2026-01-01T00:00:00Z",
                    log=[
                        {
                            "timestamp": "2026-01-02T00:00:00Z",
                            "actor": "agent-7",
                            "user": "erik",
                            "message": "begun",
                        },
                        {"timestamp": "2026-01-03T00:00:00Z", "message": "done"},
                        "no entry",
                    ],
                )
            ),
        )

        log = await graph.store.read(lambda tx: history.task_log(tx, "a"), NOW)
        assert [(c.kind, c.by, c.reason) for c in log] == [
            ("task_added", "wg-rs", "The a"),
            ("log", "wg-rs/agent-7", "begun"),
            ("log", "wg-rs", "done"),
        ]


async def test_a_cycle_becomes_a_loop() -> None:
    """The edge back is taken out; how often it runs is what its first task said."""
    config = {"max_iterations": 5, "no_converge": True}
    async with a_graph() as graph:
        await take(
            graph,
            file_of(
                old("plan", after=["check"], cycle_config=config, loop_iteration=1),
                old("make", after=["plan"]),
                old("check", after=["make"]),
                old("then", after=["check"]),
            ),
        )

        (loop,) = await graph.store.read(loops.every, NOW)
        assert loop.ids == ("plan", "make", "check")
        assert (loop.most, loop.iteration, loop.until_converged) == (5, 2, False)
        await graph.check_counts()
        await assert_round_trip(graph)


async def test_an_edge_that_loops_back_is_a_loop_too() -> None:
    """As an older version wrote it."""
    back = {"target": "a", "max_iterations": 3}
    async with a_graph() as graph:
        await take(graph, file_of(old("a"), old("b", after=["a"], loops_to=[back])))

        (loop,) = await graph.store.read(loops.every, NOW)
        assert (loop.ids, loop.most) == (("a", "b"), 3)


@pytest.mark.parametrize(
    "lines",
    [
        [old("a", after=["b"]), old("b", after=["a"])],
        [old("a", after=["a"], cycle_config={"max_iterations": 0})],
        [
            old("a", after=["c"], cycle_config={"max_iterations": 3}),
            old("b", after=["a"]),
            old("c", after=["a", "b"]),
            old("out", after=["b"]),
        ],
        [
            old("a", after=["b"], cycle_config={"max_iterations": 3}),
            old("b", after=["a"], status="done"),
        ],
        [
            old("a", after=["b", "c", "d"], cycle_config={"max_iterations": 3}),
            old("b", after=["a", "c", "d"]),
            old("c", after=["a", "b", "d"]),
            old("d", after=["a", "b", "c"]),
        ],
    ],
)
async def test_a_cycle_that_can_be_no_loop_is_taken_apart(
    lines: list[dict[str, Any]],
) -> None:
    """And it is said; the tasks come in."""
    async with a_graph() as graph:
        data = await take(graph, file_of(*lines))

        assert data.tasks == len(lines)
        assert "its cycle is taken apart" in " ".join(data.warnings)
        assert await graph.store.read(loops.every, NOW) == []
        await graph.check_counts()


CHAT_FILE = file_of(
    old(
        ".coordinator-1",
        title="Coordinator 1",
        status="in-progress",
        tags=["coordinator-loop"],
        after=[".coordinator-1"],
        cycle_config={"max_iterations": 0},
        executor_preset_name="claude",
        exec="claude --interactive",
    ),
    old(".coordinator", status="abandoned", tags=["coordinator-loop"]),
    old(".chat-5", status="done", tags=["chat-loop", "archived"], model="codex:gpt-5"),
    old("work", after=[".coordinator-1"]),
    old(".coordinator-1x", status="done"),
)


async def test_coordinators_are_chats() -> None:
    """With the same number; what can't be talked to is archived; no loop is left."""
    async with a_graph() as graph:
        data = await take(graph, CHAT_FILE)

        made = await tasks_of(graph)
        found = {c.number: c for c in await graph.store.read(chats.list_chats, NOW)}
        assert set(found) == {0, 1, 5}
        assert [n for n, c in found.items() if c.archived_at is None] == [1]
        chat = made[".chat-1"]
        assert (chat.status, chat.spec.tags) == (Status.OPEN, ("chat",))
        assert (chat.spec.exec, chat.spec.executor) == (None, "claude")
        assert chat.parked is not None
        assert made[".chat-5"].spec.tags == ("chat", "archived")
        assert (made[".chat-5"].spec.executor, made[".chat-5"].spec.model) == (
            "codex",
            "gpt-5",
        )
        assert made["work"].unmet == 1
        assert "line 1: its cycle is taken apart" in " ".join(data.warnings)
        assert ".coordinator-1 is the chat .chat-1" in data.warnings
        await graph.check_counts()


async def test_a_chat_whose_number_is_taken_gets_the_next_one() -> None:
    """Here, or in the file."""
    async with a_graph() as graph:
        await take(graph, file_of(old(".coordinator-1", title="Ours")))
        await take(
            graph,
            file_of(
                old(".chat-1", title="Theirs"),
                old(".coordinator-1", title="Older"),
                old("then", after=[".chat-1"]),
            ),
            chat__1__inbox_jsonl=said(1, "to theirs"),
        )

        made = await tasks_of(graph)
        titles = {t.id: t.spec.title for t in made.values()}
        assert titles[".chat-1"] == "Ours"
        theirs = next(i for i, title in titles.items() if title == "Theirs")
        assert {titles[".chat-2"], titles[".chat-3"]} == {"Theirs", "Older"}
        edges = await graph.store.read(lambda tx: tx.all(reads.ALL_EDGES), NOW)
        assert edges == [("then", theirs, "done")]


ASIDE = "it was not answered before it was imported, and is set aside"


def said(number: int, content: str, **fields: Any) -> str:
    """A line of a history."""
    base = {
        "id": number,
        "timestamp": f"2026-01-01T00:00:{number:02}Z",
        "role": "user",
        "content": content,
        "request_id": f"r{number}",
    }
    return json.dumps(base | fields) + "\n"


async def test_histories_come_along_in_order_and_start_nothing() -> None:
    """Requests and replies by their times; what was not answered is set aside."""
    answer = {"role": "coordinator", "request_id": "r1"}
    async with a_graph() as graph:
        data = await take(
            graph,
            CHAT_FILE,
            chat__1__inbox_jsonl=said(1, "hello", user="erik")
            + "no json\n"
            + said(6, "more?"),
            chat__1__outbox_jsonl=said(3, "hi", **answer)
            + said(4, "by the way", **answer),
            chat__inbox_jsonl=said(2, "to the first"),
            chat__9__inbox_jsonl=said(9, "to nobody"),
        )

        def look(tx: Tx) -> list[tuple[object, ...]]:
            return [
                (m.by, m.kind, m.text, m.reply_to, m.answered_at is not None)
                for m in chats.history(tx, 1)
            ]

        told = await graph.store.read(look, NOW)
        first, _, _, more, _ = await graph.store.read(
            lambda tx: [m.number for m in chats.history(tx, 1)], NOW
        )
        assert told == [
            ("erik", "message", "hello", None, True),
            ("coordinator", "reply", "hi", first, False),
            ("coordinator", "note", "by the way", None, False),
            ("user", "message", "more?", None, True),
            ("wg-rs", "error", ASIDE, more, False),
        ]
        await graph.store.read(check_invariants, NOW)
        await assert_round_trip(graph)
        nought = await graph.store.read(lambda tx: chats.history(tx, 0), NOW)
        assert [m.text for m in nought] == ["to the first", ASIDE]
        assert await graph.store.read(lambda tx: chats.count_waiting(tx, 1), NOW) == 0
        assert "chat/1/inbox.jsonl: 1 lines can't be read, and are left out" in (
            data.warnings
        )


async def test_answers_come_in_the_order_of_what_they_answer() -> None:
    """What was passed over is set aside; a late answer to it is a note."""

    def answer(number: int, to: int) -> str:
        return said(number, f"to {to}", role="coordinator", request_id=f"r{to}")

    async with a_graph() as graph:
        await take(
            graph,
            CHAT_FILE,
            chat__1__inbox_jsonl=said(1, "one") + said(2, "two") + said(3, "three"),
            chat__1__outbox_jsonl=answer(4, 2) + answer(5, 1) + answer(6, 3),
        )

        told = await graph.store.read(lambda tx: chats.history(tx, 1), NOW)
        assert [m.text for m in told[3:]] == [ASIDE, "to 2", "to 1", "to 3"]
        assert [m.kind for m in told[3:]] == ["error", "reply", "note", "reply"]
        await graph.store.read(check_invariants, NOW)
        await assert_round_trip(graph)


async def test_a_history_is_found_by_its_session_and_told_once() -> None:
    """Under a UUID by an alias, and under the alias itself: it is the same."""
    sessions = {
        "version": 1,
        "sessions": {
            "0199-aa": {"kind": "coordinator", "aliases": ["coordinator-1", "1"]},
            "0199-bb": {"kind": "other", "aliases": ["debug"]},
            "../..": {"kind": "other", "aliases": ["chat-1"]},
        },
    }
    files = {
        "chat/sessions.json": json.dumps(sessions),
        "chat/0199-aa/inbox.jsonl": said(1, "hello"),
        "chat/coordinator-1/inbox.jsonl": said(1, "hello") + said(2, "again"),
        "chat/0199-bb/inbox.jsonl": said(3, "not here"),
    }
    async with a_graph() as graph:
        await graph.change(lambda c: import_wg_rs(c, CHAT_FILE, files))

        told = await graph.store.read(lambda tx: chats.history(tx, 1), NOW)
        assert [m.kind for m in told] == ["message", "message", "error", "error"]
        assert [m.text for m in told[:2]] == ["hello", "again"]


async def test_parts_that_were_moved_away_are_read_first() -> None:
    """By their times, in whatever folder of the chat; other files are not."""
    archive = "chat/1/archive"
    answer = {"role": "coordinator", "request_id": "r1"}
    files = {
        f"{archive}/inbox-20260101-000000.jsonl": said(1, "one"),
        f"{archive}/outbox-20260102-000000.jsonl": said(2, "to one", **answer),
        f"{archive}/inbox-20260102-000000.jsonl": said(3, "two"),
        f"{archive}/chat-history-1-20260102-000000.jsonl": said(4, "not this"),
        f"{archive}/inbox-20260102.jsonl": said(4, "nor this"),
        "chat/inbox.jsonl": said(4, "to the first"),
        "chat/archive/inbox-20260101-000000.jsonl": said(1, "to the first, before"),
        "chat/1/inbox.jsonl": said(5, "three"),
    }
    async with a_graph() as graph:
        await graph.change(lambda c: import_wg_rs(c, CHAT_FILE, files))

        told = await graph.store.read(lambda tx: chats.history(tx, 1), NOW)
        assert [m.text for m in told[:4]] == ["one", "to one", "two", "three"]
        nought = await graph.store.read(lambda tx: chats.history(tx, 0), NOW)
        assert [m.text for m in nought[:2]] == ["to the first, before", "to the first"]


TWO_CHATS = (
    old(".coordinator-1", title="C", created_at="2026-01-01T00:00:00.123456789Z"),
    old(".chat-2", title="D", created_at="2026-01-02T00:00:00Z", before=["later"]),
)


async def test_a_file_of_chats_alone_comes_in_once() -> None:
    """The second time they are what they have become, and nothing is changed."""
    async with a_graph() as graph:
        text = file_of(*TWO_CHATS)
        await take(graph, text, chat__1__inbox_jsonl=said(1, "hello"))
        await graph.change(lambda c: archive_chat(c, ArchiveChat(task="2")))
        before = await graph.store.read(_chats_of, NOW)

        data = await take(graph, text, chat__1__inbox_jsonl=said(1, "hello"))

        assert data.tasks == 0
        assert data.warnings == (
            "line 1: .coordinator-1 is here already, as .chat-1: it stays as it is",
            "line 2: .chat-2 is here already, as .chat-2: it stays as it is",
        )
        assert await graph.store.read(_chats_of, NOW) == before
        await assert_round_trip(graph)


def _chats_of(tx: Tx) -> list[object]:
    """The chats, their tasks, and what was said in them."""
    found = chats.list_chats(tx)
    said = [chats.history(tx, one.number) for one in found]
    return [found, said, reads.every_task(tx)]


async def test_what_comes_in_later_waits_for_the_chats_that_are_there() -> None:
    """By their old names, said from either end; one of another graph is another."""
    async with a_graph() as graph:
        await take(graph, file_of(*TWO_CHATS))
        await take(
            graph,
            file_of(
                *TWO_CHATS,
                old("later", after=[".coordinator-1"]),
                old("first", before=[".coordinator-1"]),
            ),
        )
        other = old(".coordinator-1", title="C", created_at="2026-03-01T00:00:00Z")
        data = await take(graph, file_of(other))

        edges = await graph.store.read(lambda tx: tx.all(reads.ALL_EDGES), NOW)
        assert edges == [("later", ".chat-1", "done"), ("later", ".chat-2", "done")]
        assert data.warnings == (".coordinator-1 is the chat .chat-3",)
        await graph.store.read(check_invariants, NOW)


async def test_an_import_twice_is_refused_by_its_ids() -> None:
    """As every import."""
    async with a_graph() as graph:
        await take(graph, CHAT_FILE)
        before = await graph.dump()

        with pytest.raises(ConflictError):
            await take(graph, CHAT_FILE)
        assert await graph.dump() == before


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "broken JSON"),
        ("[]", "not a JSON object"),
        ('{"kind":"task","title":"x"}', "no id"),
        ('{"kind":"thing","id":"x"}', "kind"),
        ('{"kind":"task","id":3}', "no id"),
    ],
)
async def test_a_line_that_can_not_be_read_is_named(text: str, word: str) -> None:
    """And nothing of the file comes in."""
    async with a_graph() as graph:
        before = await graph.dump()
        with pytest.raises(UserError, match=f"line 2.*{word}"):
            await take(graph, file_of(old("a")) + text)
        assert await graph.dump() == before


IDS = st.sampled_from(
    ["a", "b", "c", ".chat-1", ".coordinator", ".coordinator-1", ".evaluate-a", "Ö X"]
)
STATUS = st.sampled_from(["open", "done", "waiting", "in-progress", "failed"])
KEYS = st.sampled_from(
    [
        "description priority estimate tags skills inputs deliverables exec exec_mode",
        "timeout not_before log retry_count max_retries failure_reason model provider",
        "verify validation_commands cycle_config loops_to wait_condition token_usage",
        "superseded_by created_at paused requires title working_dir loop_iteration",
    ]
).flatmap(lambda line: st.sampled_from(line.split()))
CONDITION = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["timer", "task-status", "message", "file-changed"]),
        "task_id": IDS,
        "status": STATUS,
        "path": st.sampled_from(["/x", "x"]),
        "resume_after": st.sampled_from(["2030-01-01T00:00:00Z", "5m", ""]),
    }
)
LINES = st.builds(
    lambda given, more: given | more,
    st.dictionaries(KEYS, ANY_JSON, max_size=4),
    st.fixed_dictionaries(
        {"id": IDS, "title": st.just("t")},
        optional={
            "status": STATUS,
            "after": st.lists(IDS, max_size=3),
            "before": st.lists(IDS, max_size=2),
            "tags": st.lists(
                st.sampled_from(["coordinator-loop", "archived", "x"]), max_size=2
            ),
            "cycle_config": st.fixed_dictionaries(
                {"max_iterations": st.integers(0, 4)}
            ),
            "wait_condition": st.fixed_dictionaries(
                {
                    "mode": st.sampled_from(["all", "any"]),
                    "conditions": st.lists(CONDITION, max_size=2),
                }
            ),
        },
    ),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=7), st.text(max_size=40))
async def test_anything_comes_in_whole_or_not_at_all(
    lines: list[dict[str, Any]], box: str
) -> None:
    """Whatever stands in the fields: no crash, no half, counts as a recount gives."""
    text = file_of(*lines)
    async with a_graph() as graph:
        before = await graph.dump()
        try:
            data = await take(graph, text, chat__1__inbox_jsonl=box)
        except WorkgraphError:
            assert await graph.dump() == before
            return
        assert data.tasks == len({line["id"] for line in lines})
        await graph.check_counts()
        found = await graph.store.read(chats.list_chats, NOW)
        made = await tasks_of(graph)
        assert all(chat.task in made for chat in found)
        assert not any(name.startswith(".coordinator") for name in made)


async def test_a_large_file_takes_seconds() -> None:
    """Every task waits for one before it, and has a log."""
    size = 4_000
    entry = {"timestamp": "2026-01-01T00:00:00Z", "actor": "x", "message": "done"}
    text = file_of(
        *(
            old(f"t{n}", after=[f"t{n // 2}"] if n else [], log=[entry], priority=10)
            for n in range(size)
        )
    )
    async with a_graph() as graph:
        began = time.process_time()
        data = await take(graph, text)

        assert data.tasks == size
        assert time.process_time() - began < 20


def test_references_are_what_the_graph_may_know() -> None:
    """Ids that ours can't have are not asked for."""
    text = file_of(old("a", after=["b", "B!"], blocks=["c"]))

    assert Predecessor(text, NOW).references() == {"a", "b", "c"}
