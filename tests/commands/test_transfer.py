"""Export and import: nothing is lost, and all that may come in does."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.commands.transfer_graph import (
    NOW,
    SPECS,
    TEXT,
    TITLE,
    WAITS,
    a_context,
    a_graph,
    an_agent,
    assert_round_trip,
    lines,
)
from workgraph.commands import claiming, life, records, spending, tasks, transfer
from workgraph.commands.context import Context
from workgraph.graph import requests as r
from workgraph.graph import waits as waits_of
from workgraph.graph.budgets import DAY
from workgraph.graph.context_view import Compiled, Told
from workgraph.graph.ends import Report
from workgraph.graph.errors import NotFoundError, UserError
from workgraph.graph.inputs import HashedFile, Input
from workgraph.graph.model import (
    AgentStatus,
    Outcome,
    ProcessId,
    TaskSpec,
    Usage,
)
from workgraph.graph.replies import ImportedData, SpendData
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import (
    agent_reads,
    agents,
    artifacts,
    clients,
    history,
    prompts,
    reads,
    waits,
    writes,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(SPECS, min_size=1, max_size=3))
async def test_every_field_of_a_spec_round_trips(specs: list[TaskSpec]) -> None:
    """What was set for a task is the same after export and import, and in the bytes."""
    async with a_graph() as graph:

        def add(context: Context) -> None:
            for number, spec in enumerate(specs):
                new = writes.NewTask(id=f"t{number}", spec=spec, priority=number)
                writes.insert_task(context.tx, new, "ada")

        await graph.change(add)
        first = await graph.export()
        async with a_graph() as other:
            await other.take(first)

            back = await other.store.read(reads.every_task, NOW)
            second = await other.export()

            assert [task.spec for task in back] == specs
            assert second == first


def test_every_field_is_drawn() -> None:
    """A new field of `TaskSpec` needs a strategy above."""
    drawn = set(SPECS.wrapped_strategy.kwargs)  # type: ignore[attr-defined]

    assert drawn == set(TaskSpec.__struct_fields__)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(TEXT, TITLE)
async def test_any_text_in_log_and_summary_round_trips(text: str, title: str) -> None:
    """What people and machines write is the same to the byte."""
    async with a_graph() as graph:

        def write(context: Context) -> None:
            tasks.add_task(context, r.AddTask(title=title, id="a"))
            records.log(context, r.Log(task="a", message=text))
            records.report_progress(
                context, r.ReportProgress(task="a", percent=40, message=text)
            )
            claiming.claim_task(context, r.ClaimTask(task="a", actor=text or "x"))
            life.finish_task(context, r.FinishTask(task="a", summary=text))

        await graph.change(write)

        await assert_round_trip(graph)


A_TASK = lines({"kind": "task", "id": "a", "title": "a"})
USAGES = st.builds(
    Usage,
    input_tokens=st.none() | st.integers(0, 2**40),
    output_tokens=st.none() | st.integers(0, 2**40),
    cached_tokens=st.none() | st.integers(0, 2**40),
    cost_usd=st.none() | st.floats(0, 1e6, allow_nan=False, allow_infinity=False),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(USAGES, st.integers(0, 3)), max_size=4))
async def test_what_was_spent_on_which_day_round_trips(
    reports: list[tuple[Usage, int]],
) -> None:
    """Usage goes with the attempt, and the days with it."""
    async with a_graph() as graph:

        def start(context: Context) -> int:
            tasks.add_task(context, r.AddTask(title="a"))
            return _launch(context, "a")

        number = await graph.change(start)
        now = NOW
        for usage, days in reports:
            now += days * DAY

            def note(context: Context, usage: Usage = usage) -> None:
                agent = agent_reads.by_number(context.tx, number)
                clients.note_report(context.tx, agent, Report(usage=usage), None)

            await graph.change(note, now)
        await graph.change(lambda context: _end(context, number, Outcome.DONE))
        await graph.change(lambda context: _move(context, "a", Verb.FINISH))

        def ask(context: Context) -> SpendData:
            data: SpendData = spending.spend(context, r.GetSpend(by="day")).data
            return data

        before = await graph.change(ask)
        await assert_round_trip(graph)
        async with a_graph() as other:
            await other.take(await graph.export())
            assert await other.change(ask) == before


async def test_what_was_spent_without_days_is_of_the_day_of_the_end() -> None:
    """An export of before has usage alone."""
    usage = {"input_tokens": 5, "output_tokens": 2, "cost_usd": 0.5}
    agent = an_agent(task="a", usage=usage, ended_at="2026-01-03T00:00:00Z")
    async with a_graph() as graph:
        await graph.take(
            lines({"kind": "task", "id": "a", "title": "a"}) + "\n" + agent
        )

        data = await graph.change(
            lambda context: spending.spend(context, r.GetSpend(by="day")).data
        )

        (row,) = data.rows
        assert (row.key, row.input_tokens, row.output_tokens) == ("2026-01-03", 5, 2)
        assert (row.cost_usd, row.unknown_cost) == (0.5, 0)


@pytest.mark.parametrize(
    "spend",
    [
        [{"day": "yesterday"}],
        [{"day": "1969-12-31"}],
        [{"day": "2026-01-01", "cost_usd": 1}, {"day": "2026-01-01"}],
    ],
)
async def test_days_that_are_none_are_refused(spend: list[dict[str, object]]) -> None:
    """With the line that has them."""
    agent = an_agent(task="a", spend=spend)
    async with a_graph() as graph:
        with pytest.raises(UserError, match="line 2: spend: "):
            await graph.take(f"{A_TASK}\n{agent}")


async def test_what_attempts_were_told_comes_along() -> None:
    """Of those that are over; a prompt of nobody, or a second one, is refused."""
    async with a_graph() as graph:
        await graph.change(_every_status)

        rows = await assert_round_trip(graph)

        told = [row for row in rows if row["kind"] == "prompt"]
        over = [row["id"] for row in rows if row["kind"] == "agent"]
        assert [row["agent"] for row in told] == [a for a in over if a != "agent-4"]
        assert told[0]["blocks"][0]["name"] == "task"
    agent = an_agent(task="a", usage=None)
    prompt = lines({"kind": "prompt", "agent": "agent-1", "limit": 1, "tokens": 1})
    for text in (f"{A_TASK}\n{prompt}", f"{A_TASK}\n{agent}\n{prompt}\n{prompt}"):
        async with a_graph() as graph:
            with pytest.raises(UserError, match="agent-1"):
                await graph.take(text)


_COMPILED = Compiled(
    text="do it",
    tokens=2,
    limit=9,
    blocks=(
        Told(name="task", source="task t", tokens=2, cut=False, sha256="ab", whole=2),
    ),
)


def _launch(context: Context, task: str) -> int:
    """What dispatch does: a process's claim, matched to an actor."""
    tx = context.tx
    writes.set_actor(tx, task, "bob", matched=True)
    _, attempt = agents.next_agent(tx, task)
    number = agents.insert_agent(
        tx,
        agents.NewAgent(
            task=task,
            attempt=attempt,
            actor="bob",
            executor="shell",
            model="m",
            plan='{"env":"SECRET"}',
            plan_line="the plan",
            token_sha256=b"SECRET",
        ),
    )
    prompts.keep(tx, number, _COMPILED)
    writes.change_status(
        tx,
        reads.task(tx, task),
        Verb.CLAIM,
        Cause.MACHINE,
        writes.Marks(by="workgraph", agent=f"agent-{number}", attempt=attempt),
    )
    process = ProcessId(pid=7, boot_id="b", start_ticks=9)
    agents.record_start(tx, number, process, 5)
    return number


def _end(context: Context, number: int, outcome: Outcome) -> None:
    tx = context.tx
    agents.record_end(tx, number, agents.End(exit_code=1, outcome=outcome))
    agents.conclude(tx, number, outcome, counted=True)


def _move(context: Context, task: str, verb: Verb, **marks: Any) -> None:
    writes.change_status(
        context.tx,
        reads.task(context.tx, task),
        verb,
        Cause.OPERATOR,
        writes.Marks(by="ada", **marks),
    )


def _every_status(context: Context) -> None:
    """One task in each status, each with a history, edges across them all."""
    names = ["open", "running", "late", "waiting", "review", "done", "failed", "gone"]
    for name in names:
        tasks.add_task(context, r.AddTask(title=name, not_before="1h", paused=True))
        tasks.add_task(context, r.AddTask(title=f"heir of {name}", after=(name,)))
        if name != "open":
            number = _launch(context, name)
            _move(context, name, Verb.REQUEUE, agent=f"agent-{number}", retry_at=NOW)
            _end(context, number, Outcome.CRASHED)
            _launch(context, name)
    _move(context, "late", Verb.FINISH, agent="agent-4")
    terms = waits_of.parse_condition("task:late=settled,timer:1h|message", NOW)
    waits.put(
        context.tx,
        waits_of.Wait(
            task="waiting", agent=8, condition="as said", since=NOW, terms=terms
        ),
    )
    _move(context, "waiting", Verb.WAIT)
    _move(context, "review", Verb.SUBMIT, gate="human")
    _move(context, "done", Verb.FINISH, summary="it is")
    _move(context, "failed", Verb.FAIL)
    _move(context, "gone", Verb.ABANDON, superseded_by="open")
    for number in (6, 8, 10, 12, 14):
        _end(context, number, Outcome.DONE)
    tasks.link_task(
        context, r.LinkTask(task="heir-of-open", after="failed", on="settled")
    )
    records.record_artifact(
        context,
        r.RecordArtifact(task="running", path="o", name="o"),
        HashedFile(path="/o", sha256="0" * 64, size=3),
    )
    records.record_artifact(
        context,
        r.RecordArtifact(task="done", path="k"),
        HashedFile(path="/k", sha256="1" * 64, size=3, kept=True),
    )
    given = Input(ref="done:k", producer="done", name="k", path="/k", sha256="1" * 64)
    artifacts.note_consumed(context.tx, 5, (given,))
    records.log(context, r.Log(task="running", message="half way"))


async def test_every_status_round_trips() -> None:
    """All but in progress come back as they were; that one as open, unclaimed."""
    async with a_graph() as graph:
        await graph.change(_every_status)

        rows = await assert_round_trip(graph)

        statuses = {
            row["id"]: row.get("status", "open")
            for row in rows
            if row["kind"] == "task"
        }
        assert statuses["running"] == "open"
        assert {statuses[name] for name in statuses} == {
            status.value for status in Status if status is not Status.IN_PROGRESS
        }


async def test_a_running_attempt_is_left_out_and_its_words_are_kept() -> None:
    """No claim, no start, no row of the attempt; the log of what was said stays."""
    async with a_graph() as graph:
        await graph.change(_every_status)

        rows = await assert_round_trip(graph)

        task = next(row for row in rows if row.get("id") == "running")
        assert task["attempts"] == task["starts"] == 1
        assert "actor" not in task
        ids = [row["id"] for row in rows if row["kind"] == "agent"]
        assert "agent-2" not in ids
        assert "agent-1" in ids
        log = [row for row in rows if row["kind"] == "log" and row["task"] == "running"]
        assert [row["change"] for row in log if row.get("agent") == "agent-2"] == []
        assert log[-1]["reason"] == "half way"


async def test_secrets_stay_here() -> None:
    """Neither the token's hash nor the plan is exported."""
    async with a_graph() as graph:
        await graph.change(_every_status)

        text = await graph.export()

        assert "SECRET" not in text
        assert "the plan" in text


async def test_the_file_does_not_tell_when_it_was_written() -> None:
    """Two exports of one graph are the same."""
    async with a_graph() as graph:
        await graph.change(_every_status)

        lines_of = [
            await graph.store.read(lambda tx: transfer.export_lines(a_context(tx)), now)
            for now in (NOW, NOW * 2)
        ]

        assert lines_of[0] == lines_of[1]


async def test_what_an_agent_has_said_last_comes_along() -> None:
    """Where it left no summary it is what its task has concluded."""
    async with a_graph() as graph:
        task = lines({"kind": "task", "id": "a", "title": "A"})
        await graph.take(f"{task}\n{an_agent(task='a', said='It was the gasket.')}")

        [exported] = [
            line for line in await assert_round_trip(graph) if line["kind"] == "agent"
        ]

        assert exported["said"] == "It was the gasket."
        assert "session" not in exported


async def test_agents_keep_their_numbers_and_new_ones_go_on_above() -> None:
    """The attempts left out count, too: their numbers are never used again."""
    async with a_graph() as graph:
        await graph.change(_every_status)
        async with a_graph() as other:
            await other.take(await graph.export())

            highest = await other.store.read(agent_reads.list_agents, NOW)
            following, _ = await other.store.read(
                lambda tx: agents.next_agent(tx, "running"), NOW
            )
            task = await other.store.read(lambda tx: reads.task(tx, "running"), NOW)

            assert highest[-1].number == 14
            assert highest[-1].status is AgentStatus.ENDED
            assert following == 15
            assert task.last_agent == "agent-1"


async def test_an_unjudged_end_still_holds_its_task() -> None:
    """An attempt that ended a moment ago is as one that runs."""
    async with a_graph() as graph:

        def crash(context: Context) -> None:
            tasks.add_task(context, r.AddTask(title="a"))
            number = _launch(context, "a")
            agents.record_end(context.tx, number, agents.End(exit_code=1))

        await graph.change(crash)

        rows = await assert_round_trip(graph)

        assert [row["kind"] for row in rows] == ["task", "log"]


async def test_identities_come_first_and_are_the_same_again() -> None:
    """An actor equal to one that is there is the same one."""
    async with a_graph() as graph:
        text = lines(
            {"title": "a", "actor": "bob"},
            {"kind": "tradeoff", "name": "fast", "description": "d", "accept": ["x"]},
            {"kind": "actor", "name": "bob", "skills": ["s"], "usd_per_hour": 3},
            {"kind": "role", "name": "coder", "description": "d", "odd": 1},
        )

        data = await graph.take(text)
        rows = await assert_round_trip(graph)
        again = await graph.take(lines(*rows[:3]))

        assert [row["kind"] for row in rows[:4]] == [
            "actor",
            "role",
            "tradeoff",
            "task",
        ]
        assert rows[1]["metadata"] == {"odd": 1}
        assert data.actors == 3
        assert (again.actors, again.warnings) == (0, ())


async def test_a_title_is_enough() -> None:
    """Ids are made around those that are given, in whatever order they come."""
    async with a_graph() as graph:
        await graph.take('{"title": "Fix it!"}')

        data = await graph.take(
            '\ufeff\n  \r\n{"title":"Fix it!"}\r\n{"title":"fix it"}\n'
            '{"id":"fix-it-2","title":"x"}\n\n{"title":"\U0001f98a"}'
        )
        found = await graph.store.read(reads.every_task, NOW)
        log = await graph.store.read(lambda tx: history.task_log(tx, "fix-it-3"), NOW)
        await assert_round_trip(graph)

        assert [task.id for task in found] == [
            "fix-it",
            "fix-it-3",
            "fix-it-4",
            "fix-it-2",
            "task",
        ]
        assert data == ImportedData(tasks=4, edges=0, actors=0, log=0, warnings=())
        assert [(c.kind, c.by, c.reason) for c in log] == [
            ("task_added", "ada", "Fix it!")
        ]


async def test_unknown_keys_become_metadata_and_are_told_once() -> None:
    """One warning for each key; what follows from the rest is passed over."""
    async with a_graph() as graph:
        data = await graph.take(
            lines(
                {"title": "a", "colour": "red", "metadata": {"x": 1}, "ready": True},
                {"title": "b", "colour": {"deep": [1]}, "before": []},
                {"title": "c", "size": None},
                {"kind": "log", "task": "a", "extra": 1},
            )
        )
        found = await graph.store.read(reads.every_task, NOW)
        await assert_round_trip(graph)

        assert data.warnings == (
            "unknown key 'colour' of task (line 1 and 1 more): kept as metadata",
            "unknown key 'size' of task (line 3): kept as metadata",
            "unknown key 'extra' of log (line 4): left out, there is no place for it",
        )
        assert [task.spec.metadata for task in found] == [
            {"x": 1, "colour": "red"},
            {"colour": {"deep": [1]}},
            {"size": None},
        ]


async def test_what_show_gives_can_come_in() -> None:
    """The shape of `wg show --json` is one that import reads."""
    async with a_graph() as graph:
        await graph.change(_every_status)
        reply = await graph.change(
            lambda c: tasks.edit_task(c, r.EditTask(task="open"))
        )
        async with a_graph() as other:
            data = await other.take(msgspec.json.encode(reply.data).decode())

            assert (data.tasks, data.warnings) == (1, ())


async def test_edges_come_in_any_form_and_order() -> None:
    """Ids, objects, lines of their own; to new tasks and to those that are there."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                {"id": "old", "title": "o"},
                {"id": "older", "title": "o"},
                {"id": "done", "title": "o", "status": "done"},
                {"id": "bad", "title": "o", "status": "failed"},
            )
        )

        data = await graph.take(
            lines(
                {"kind": "edge", "task": "c", "after": "b"},
                {"kind": "edge", "task": "old", "after": "older"},
                {"kind": "edge", "task": "bad", "after": "c"},
                {
                    "id": "c",
                    "title": "c",
                    "after": ["a", {"id": "bad", "on": "settled"}],
                },
                {"id": "b", "title": "b", "after": ["a", "a", "done"]},
                {"id": "a", "title": "a", "after": ["old", {"id": "bad"}]},
                {"id": "d", "title": "d", "inputs": ["c:out", "./file"]},
            ).replace('{"kind":"edge","task":"bad","after":"c"}', "")
        )
        await graph.check_counts()
        await assert_round_trip(graph)
        chain = await graph.store.read(lambda tx: reads.task(tx, "older").chain, NOW)

        assert data.edges == 9
        assert chain == 6


async def test_machinery_ids_come_in() -> None:
    """Chats and assignments are tasks like others here."""
    async with a_graph() as graph:
        data = await graph.take(
            lines(
                *({"id": i, "title": "x"} for i in [".chat-3", "assign-a", "reward-b"])
            )
        )

        assert data.tasks == 3


async def test_the_import_itself_is_one_change() -> None:
    """It is about no task, so no later export has it."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                {"id": "good", "title": "good"},
                {"kind": "log", "task": "good", "reason": "hi"},
            )
        )
        changes = await graph.store.read(lambda tx: history.changes_since(tx, 0), NOW)

        assert [(c.kind, c.task, c.reason) for c in changes] == [
            ("log", "good", "hi"),
            ("graph_imported", None, "1 tasks, 0 edges"),
        ]


async def test_an_input_makes_its_producer_a_dependency() -> None:
    """Also where the line says what it waits for; an heir stands in for its own."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                {"title": "a", "id": "a"},
                {"title": "old", "id": "old", "status": "abandoned"}
                | {"superseded_by": "a"},
                {"title": "b", "id": "b", "inputs": ["a:x"]},
                {"title": "c", "id": "c", "inputs": ["b:x", "no:x"], "after": ["a"]},
                {"title": "d", "id": "d", "inputs": ["old:x"], "after": ["a"]},
            )
        )

        found = await graph.change(lambda c: list(c.tx.rows(reads.ALL_EDGES)))

        assert [(task, dep) for task, dep, _ in found] == [
            ("b", "a"),
            ("c", "a"),
            ("c", "b"),
            ("d", "a"),
        ]
        await assert_round_trip(graph)


async def test_an_input_of_an_unknown_task_is_refused() -> None:
    """As in `wg add`."""
    async with a_graph() as graph:
        with pytest.raises(NotFoundError, match="line 1"):
            await graph.take(lines({"title": "b", "inputs": ["nobody:x"]}))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(WAITS)
async def test_every_wait_round_trips(new: list[waits_of.Wait]) -> None:
    """Whether it lasts or is over, to the byte."""
    async with a_graph() as graph:

        def add(context: Context) -> None:
            for number, wait in enumerate(new):
                task = f"t{number}"
                spec = TaskSpec(title=task, executor="claude")
                writes.insert_task(
                    context.tx, writes.NewTask(id=task, spec=spec, priority=2), "ada"
                )
                _launch(context, task)
                agent = None if wait.agent is None else number + 1
                waits.put(context.tx, replace(wait, task=task, agent=agent))
                if wait.woken_at is None:
                    _move(context, task, Verb.WAIT)
                    _end(context, number + 1, Outcome.WAITING)

        await graph.change(add)

        await assert_round_trip(graph)


async def test_a_waiting_task_without_a_wait_waits_for_a_message() -> None:
    """So that somebody can wake it."""
    async with a_graph() as graph:
        await graph.take('{"kind":"task","title":"t","status":"waiting"}')

        wait = await graph.change(lambda context: waits.find(context.tx, "t"))

        assert [term.kind for term in wait.terms] == ["message"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"task": "nobody"}, "not in this file"),
        ({"task": "open"}, "its wait lasts"),
        ({"task": "w", "woken_at": "2030-01-01T00:00:00Z"}, "its wait is over"),
        ({"task": "w", "agent": "agent-7"}, "the attempt 'agent-7'"),
        ({"task": "w", "terms": []}, "waits for nothing"),
        ({"task": "w", "terms": [{"kind": "timer"}]}, "no moment"),
        ({"task": "w", "terms": [{"kind": "task", "target": "x"}]}, "nothing to wait"),
        (
            {"task": "w", "terms": [{"kind": "task", "target": "x", "status": "done"}]},
            "no task 'x'",
        ),
    ],
)
async def test_a_wait_that_does_not_fit_is_refused(
    line: dict[str, Any], what: str
) -> None:
    """Named by its line; nothing comes in."""
    base = {"kind": "wait", "condition": "message", "since": "2030-01-01T00:00:00Z"}
    lines = [
        {"kind": "task", "title": "open"},
        {"kind": "task", "title": "w", "status": "waiting"},
        base | {"terms": [{"kind": "message"}]} | line,
    ]
    async with a_graph() as graph:
        with pytest.raises(UserError, match=what):
            await graph.take("\n".join(msgspec.json.encode(x).decode() for x in lines))
