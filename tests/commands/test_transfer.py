"""Export and import: nothing is lost, nothing half comes in, bad lines are named."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workgraph.commands import life, records, tasks, transfer
from workgraph.commands.context import Caller, Context
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, NotFoundError, UserError
from workgraph.graph.model import (
    AgentStatus,
    Outcome,
    ProcessId,
    TaskSpec,
)
from workgraph.graph.readiness import ServiceFacts
from workgraph.graph.replies import ImportedData
from workgraph.graph.status import MEETS, Cause, Status, Verb
from workgraph.settings import load_settings
from workgraph.store import agent_reads, agents, history, reads, writes
from workgraph.store.database import Store, Tx

NOW = 1_700_000_000_000_000
SETTINGS = load_settings(None, None, []).settings

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NASTY = st.sampled_from(
    [
        "'\"`",
        "a\nb\r\n\tc",
        "$(rm -rf /) `id` $HOME ${x} && ; | > /dev/null",
        "{{ title }} {% if %} {title} %s %(x)s \\u0041 \\n",
        "\x00\x01\x1b[31m\x7f\x85\u2028\u2029\ufeff\ufffe",
        "日本語 🦊 e\u0301 \u202etxt.exe",
    ]
)
TEXT = ANY_TEXT | NASTY
TITLE = TEXT.filter(lambda text: bool(text.strip()))
PATH = TEXT.map(lambda text: text.replace("\0", ""))
OPTIONAL = st.none() | TEXT
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
PATHS = st.lists(PATH, max_size=3).map(tuple)
SECONDS = st.none() | st.floats(0, 1e9)
COUNT = st.none() | st.integers(1, 2**70)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2)
    ),
    max_leaves=4,
)
SPECS = st.builds(
    TaskSpec,
    title=TITLE,
    description=TEXT,
    tags=TEXTS,
    requires_skills=TEXTS,
    prefers_skills=TEXTS,
    complexity=st.sampled_from([None, "simple", "moderate", "complex"]),
    inputs=PATHS,
    outputs=PATHS,
    context_files=PATHS,
    prompt=OPTIONAL,
    exec=st.none() | PATH,
    executor=st.none() | st.just("shell"),
    model=OPTIONAL,
    endpoint=OPTIONAL,
    tools=TEXTS,
    working_dir=st.none() | PATH,
    env=st.dictionaries(NAME.filter(lambda n: not n.startswith("WG_")), PATH),
    verify=PATHS,
    review=st.sampled_from([None, "human", "reward", "none"]),
    max_attempts=COUNT,
    retry_on=st.sampled_from([None, "crash", "failure"]),
    timeout_s=SECONDS,
    stall_timeout_s=SECONDS,
    abandon_after_s=SECONDS,
    independent=st.booleans(),
    estimate_s=SECONDS,
    budget_tokens=COUNT,
    budget_usd=SECONDS,
    context_scope=st.sampled_from([None, "clean", "task", "graph", "full"]),
    metadata=st.dictionaries(TEXT, JSON, max_size=2),
)


def a_context(tx: Tx) -> Context:
    """An operator's surroundings."""
    return Context(
        tx=tx,
        caller=Caller(name="ada"),
        settings=SETTINGS,
        service=ServiceFacts(),
        project_dir="/project",
    )


class Graph:
    """A store in memory, with what tests do to it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def change(self, job: Callable[[Context], object], now: int = NOW) -> Any:
        result, _ = await self.store.transaction(lambda tx: job(a_context(tx)), now)
        return result

    async def take(self, text: str, now: int = NOW) -> ImportedData:
        reply = await self.change(lambda c: transfer.import_graph(c, text), now)
        assert isinstance(reply.data, ImportedData)
        assert reply.notes == reply.data.warnings
        return reply.data

    async def export(self) -> str:
        lines = await self.store.read(
            lambda tx: transfer.export_lines(a_context(tx)), NOW
        )
        assert not any(b"\n" in line for line in lines)
        return b"\n".join(lines).decode()

    async def dump(self) -> list[list[tuple[Any, ...]]]:
        """Every row of every table."""

        def read(tx: Tx) -> list[list[tuple[Any, ...]]]:
            names = [
                row[0]
                for row in tx.all("select name from sqlite_schema where type = 'table'")
            ]
            return [tx.all(f"select * from {name}") for name in sorted(names)]

        return await self.store.read(read, NOW)

    async def check_counts(self) -> None:
        """Unmet dependencies and chains are as a recount gives them."""

        def recount(tx: Tx) -> None:
            every = {task.id: task for task in reads.every_task(tx)}
            edges = tx.all(reads.ALL_EDGES)
            for task in every.values():
                mine = [(dep, on) for name, dep, on in edges if name == task.id]
                assert task.unmet == sum(
                    every[dep].status not in MEETS[on] for dep, on in mine
                ), task.id

            def chain(name: str) -> int:
                behind = [chain(waiter) for waiter, dep, _ in edges if dep == name]
                return 1 + max(behind, default=0)

            for task in every.values():
                assert task.chain == chain(task.id), task.id

        await self.store.read(recount, NOW)


async def a_graph() -> Graph:
    """An empty one."""
    return Graph(await Store.open(":memory:"))


def lines(*objects: Mapping[str, Any]) -> str:
    """Objects as JSON lines."""
    return "\n".join(msgspec.json.encode(item).decode() for item in objects)


async def assert_round_trip(graph: Graph) -> list[dict[str, Any]]:
    """Export → import → export is the same to the byte; gives what was exported."""
    first = await graph.export()
    other = await a_graph()
    await other.take(first, NOW + 86_400_000_000)
    second = await other.export()
    await other.check_counts()
    await other.store.close()
    assert second == first
    return [msgspec.json.decode(line) for line in first.splitlines() if line]


@settings(max_examples=60, deadline=None)
@given(st.lists(SPECS, min_size=1, max_size=3))
async def test_every_field_of_a_spec_round_trips(specs: list[TaskSpec]) -> None:
    """What was set for a task is the same after export and import, and in the bytes."""
    graph = await a_graph()

    def add(context: Context) -> None:
        for number, spec in enumerate(specs):
            new = writes.NewTask(id=f"t{number}", spec=spec, priority=number)
            writes.insert_task(context.tx, new, "ada")

    await graph.change(add)
    first = await graph.export()
    other = await a_graph()
    await other.take(first)

    back = await other.store.read(reads.every_task, NOW)
    second = await other.export()
    await graph.store.close()
    await other.store.close()

    assert [task.spec for task in back] == specs
    assert second == first


def test_every_field_is_drawn() -> None:
    """A new field of `TaskSpec` needs a strategy above."""
    drawn = set(SPECS.wrapped_strategy.kwargs)  # type: ignore[attr-defined]

    assert drawn == set(TaskSpec.__struct_fields__)


@settings(max_examples=40, deadline=None)
@given(TEXT, TITLE)
async def test_any_text_in_log_and_summary_round_trips(text: str, title: str) -> None:
    """What people and machines write is the same to the byte."""
    graph = await a_graph()

    def write(context: Context) -> None:
        tasks.add_task(context, r.AddTask(title=title, id="a"))
        records.log(context, r.Log(task="a", message=text))
        records.report_progress(
            context, r.ReportProgress(task="a", percent=40, message=text)
        )
        life.claim_task(context, r.ClaimTask(task="a", actor=text or "x"))
        life.finish_task(context, r.FinishTask(task="a", summary=text))

    await graph.change(write)

    await assert_round_trip(graph)
    await graph.store.close()


def _launch(context: Context, task: str) -> int:
    """What dispatch does: a process's claim, matched to an actor."""
    tx = context.tx
    writes.set_actor(tx, task, "bob", matched=True)
    number, attempt = agents.insert_agent(
        tx, agents.NewAgent(task=task, actor="bob", executor="shell", model="m")
    )
    writes.change_status(
        tx,
        reads.task(tx, task),
        Verb.CLAIM,
        Cause.MACHINE,
        writes.Marks(by="workgraph", agent=f"agent-{number}", attempt=attempt),
    )
    agents.keep_plan(tx, number, '{"env":"SECRET"}', "the plan", b"SECRET")
    process = ProcessId(pid=7, boot_id="b", start_ticks=9)
    agents.record_start(tx, agent_reads.by_number(tx, number), process, 5)
    return number


def _end(context: Context, number: int, outcome: Outcome) -> None:
    tx = context.tx
    agent = agent_reads.by_number(tx, number)
    agents.record_end(tx, agent, agents.End(exit_code=1, outcome=outcome))
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
        records.HashedFile(path="/o", sha256="0" * 64, size=3),
    )
    records.log(context, r.Log(task="running", message="half way"))


async def test_every_status_round_trips() -> None:
    """All but in progress come back as they were; that one as open, unclaimed."""
    graph = await a_graph()
    await graph.change(_every_status)

    rows = await assert_round_trip(graph)
    await graph.store.close()

    statuses = {
        row["id"]: row.get("status", "open") for row in rows if row["kind"] == "task"
    }
    assert statuses["running"] == "open"
    assert {statuses[name] for name in statuses} == {
        status.value for status in Status if status is not Status.IN_PROGRESS
    }


async def test_a_running_attempt_is_left_out_and_its_words_are_kept() -> None:
    """No claim, no start, no row of the attempt; the log of what was said stays."""
    graph = await a_graph()
    await graph.change(_every_status)

    rows = await assert_round_trip(graph)
    await graph.store.close()

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
    graph = await a_graph()
    await graph.change(_every_status)

    text = await graph.export()
    await graph.store.close()

    assert "SECRET" not in text
    assert "the plan" in text


async def test_the_file_does_not_tell_when_it_was_written() -> None:
    """Two exports of one graph are the same."""
    graph = await a_graph()
    await graph.change(_every_status)

    lines_of = [
        await graph.store.read(lambda tx: transfer.export_lines(a_context(tx)), now)
        for now in (NOW, NOW * 2)
    ]
    await graph.store.close()

    assert lines_of[0] == lines_of[1]


async def test_agents_keep_their_numbers_and_new_ones_go_on_above() -> None:
    """The attempts left out count, too: their numbers are never used again."""
    graph = await a_graph()
    await graph.change(_every_status)
    other = await a_graph()
    await other.take(await graph.export())

    highest = await other.store.read(agent_reads.list_agents, NOW)
    following = await other.store.read(agents.next_number, NOW)
    task = await other.store.read(lambda tx: reads.task(tx, "running"), NOW)
    await graph.store.close()
    await other.store.close()

    assert highest[-1].number == 14
    assert highest[-1].status is AgentStatus.ENDED
    assert following == 15
    assert task.last_agent == "agent-1"


async def test_an_unjudged_end_still_holds_its_task() -> None:
    """An attempt that ended a moment ago is as one that runs."""
    graph = await a_graph()

    def crash(context: Context) -> None:
        tasks.add_task(context, r.AddTask(title="a"))
        number = _launch(context, "a")
        agent = agent_reads.by_number(context.tx, number)
        agents.record_end(context.tx, agent, agents.End(exit_code=1))

    await graph.change(crash)

    rows = await assert_round_trip(graph)
    await graph.store.close()

    assert [row["kind"] for row in rows] == ["task", "log"]


async def test_identities_come_first_and_are_the_same_again() -> None:
    """An actor equal to one that is there is the same one."""
    graph = await a_graph()
    text = lines(
        {"title": "a", "actor": "bob"},
        {"kind": "tradeoff", "name": "fast", "description": "d", "accept": ["x"]},
        {"kind": "actor", "name": "bob", "skills": ["s"], "usd_per_hour": 3},
        {"kind": "role", "name": "coder", "description": "d", "odd": 1},
    )

    data = await graph.take(text)
    rows = await assert_round_trip(graph)
    again = await graph.take(lines(*rows[:3]))
    await graph.store.close()

    assert [row["kind"] for row in rows[:4]] == ["actor", "role", "tradeoff", "task"]
    assert rows[1]["metadata"] == {"odd": 1}
    assert data.actors == 3
    assert (again.actors, again.warnings) == (0, ())


async def test_a_title_is_enough() -> None:
    """Ids are made around those that are given, in whatever order they come."""
    graph = await a_graph()
    await graph.take('{"title": "Fix it!"}')

    data = await graph.take(
        '\ufeff\n  \r\n{"title":"Fix it!"}\r\n{"title":"fix it"}\n'
        '{"id":"fix-it-2","title":"x"}\n\n{"title":"\U0001f98a"}'
    )
    found = await graph.store.read(reads.every_task, NOW)
    log = await graph.store.read(lambda tx: history.task_log(tx, "fix-it-3"), NOW)
    await assert_round_trip(graph)
    await graph.store.close()

    assert [task.id for task in found] == [
        "fix-it",
        "fix-it-3",
        "fix-it-4",
        "fix-it-2",
        "task",
    ]
    assert data == ImportedData(tasks=4, edges=0, actors=0, log=0, warnings=())
    assert [(c.kind, c.by, c.reason) for c in log] == [("task_added", "ada", "Fix it!")]


async def test_unknown_keys_become_metadata_and_are_told_once() -> None:
    """One warning for each key; what follows from the rest is passed over."""
    graph = await a_graph()

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
    await graph.store.close()

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
    graph = await a_graph()
    await graph.change(_every_status)
    reply = await graph.change(lambda c: tasks.edit_task(c, r.EditTask(task="open")))
    other = await a_graph()

    data = await other.take(msgspec.json.encode(reply.data).decode())
    await graph.store.close()
    await other.store.close()

    assert (data.tasks, data.warnings) == (1, ())


async def test_edges_come_in_any_form_and_order() -> None:
    """Ids, objects, lines of their own; to new tasks and to those that are there."""
    graph = await a_graph()
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
            {"id": "c", "title": "c", "after": ["a", {"id": "bad", "on": "settled"}]},
            {"id": "b", "title": "b", "after": ["a", "a", "done"]},
            {"id": "a", "title": "a", "after": ["old", {"id": "bad"}]},
            {"id": "d", "title": "d", "inputs": ["c:out", "./file"]},
        ).replace('{"kind":"edge","task":"bad","after":"c"}', "")
    )
    await graph.check_counts()
    await assert_round_trip(graph)
    chain = await graph.store.read(lambda tx: reads.task(tx, "older").chain, NOW)
    await graph.store.close()

    assert data.edges == 9
    assert chain == 6


async def test_machinery_ids_come_in() -> None:
    """Chats and assignments are tasks like others here."""
    graph = await a_graph()

    data = await graph.take(
        lines(*({"id": i, "title": "x"} for i in [".chat-3", "assign-a", "reward-b"]))
    )
    await graph.store.close()

    assert data.tasks == 3


A_TASK = {"id": "good", "title": "good"}
BAD: dict[str, tuple[str, str]] = {
    "broken": ('{"title": "x"', "broken JSON"),
    "deep": ('{"title":"x","m":' + "[" * 5000 + "]" * 5000 + "}", "broken JSON"),
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
        '{"kind":"edge","task":"good","after":"x"}\n'
        '{"title":"x","id":"x","after":["good"]}',
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
        "artifacts[...].size: expected `int` >= 0",
    ),
    "agent": (
        '{"kind":"agent","id":"agent-01","task":"good","attempt":1,"executor":"x",'
        '"started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:00Z"}',
        "'agent-01' is not an agent's id",
    ),
    "working": (
        '{"kind":"agent","id":"agent-1","task":"good","attempt":1,"executor":"x",'
        '"started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:00Z",'
        '"status":"working"}',
        "agent-1 is working",
    ),
    "stray agent": (
        '{"kind":"agent","id":"agent-1","task":"there","attempt":1,"executor":"x",'
        '"started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:00Z"}',
        "the task 'there' is not in this file",
    ),
    "stray log": ('{"kind":"log","task":"nowhere"}', "'nowhere' is not in this file"),
    "percent": ('{"kind":"log","task":"good","percent":101}', "percent: expected"),
    "actor": ('{"kind":"actor","name":"a","id":"x"}', "64 hex digits"),
}


async def a_graph_with_history() -> Graph:
    """One in which `heir` waits for `there`, and `over` is done."""
    graph = await a_graph()
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
    return graph


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_line_is_named_and_nothing_comes_in(case: str) -> None:
    """All or nothing, whatever is wrong and however late it is found out."""
    bad, said = BAD[case]
    graph = await a_graph_with_history()
    before = await graph.dump()

    with pytest.raises(UserError) as caught:
        await graph.take(f"{lines(A_TASK)}\n\n{bad}")

    line = 1 if case == "cycle" else 3
    after = await graph.dump()
    await graph.store.close()
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
    graph = await a_graph_with_history()
    before = await graph.dump()

    with pytest.raises(NotFoundError) as caught:
        await graph.take(f"{lines(A_TASK)}\n{bad}")

    after = await graph.dump()
    await graph.store.close()
    assert "'nowhere'" in caught.value.message
    assert "line " in caught.value.message
    assert after == before


@pytest.mark.parametrize(
    "taken",
    [
        '{"title":"x","id":"there"}',
        '{"kind":"actor","name":"bob","role":"' + "0" * 64 + '"}',
        '{"kind":"agent","id":"agent-3","task":"good","attempt":1,"executor":"x",'
        '"started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:00Z"}',
        '{"kind":"log","task":"good","agent":"agent-3"}',
    ],
)
async def test_an_id_that_is_taken_refuses_all(taken: str) -> None:
    """Exit 4, and the line is named."""
    graph = await a_graph_with_history()
    before = await graph.dump()

    with pytest.raises(ConflictError) as caught:
        await graph.take(f"{lines(A_TASK)}\n{taken}")

    after = await graph.dump()
    await graph.store.close()
    assert caught.value.message.startswith("line 2: ")
    assert caught.value.exit_code == 4
    assert after == before


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_counts_are_as_a_recount_gives_them(data: st.DataObject) -> None:
    """Any acyclic graph, any statuses, any order of lines, in two imports."""
    size = data.draw(st.integers(1, 9))
    statuses = data.draw(
        st.lists(st.sampled_from(sorted(Status)), min_size=size, max_size=size)
    )
    edges = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, size - 1),
                st.integers(0, size - 1),
                st.sampled_from(["done", "settled"]),
            ),
            max_size=14,
        )
    )
    kinds = {(a, b): on for a, b, on in edges if b < a}
    cut = data.draw(st.integers(0, size))
    objects: list[list[dict[str, Any]]] = [[], []]
    for number in range(size):
        inline = [
            {"id": f"t{b}", "on": on} for (a, b), on in kinds.items() if a == number
        ]
        task = {"id": f"t{number}", "title": "t", "status": statuses[number]}
        if data.draw(st.booleans()):
            task |= {"after": inline}
        else:
            objects[number >= cut] += [
                {"kind": "edge", "task": task["id"], "after": e["id"], "on": e["on"]}
                for e in inline
            ]
        objects[number >= cut].append(task)
    graph = await a_graph()

    for part in objects:
        await graph.take(lines(*data.draw(st.permutations(part))))

    await graph.check_counts()
    await assert_round_trip(graph)
    await graph.store.close()


async def test_the_import_itself_is_one_change() -> None:
    """It is about no task, so no later export has it."""
    graph = await a_graph()

    await graph.take(lines(A_TASK, {"kind": "log", "task": "good", "reason": "hi"}))
    changes = await graph.store.read(lambda tx: history.changes_since(tx, 0), NOW)
    await graph.store.close()

    assert [(c.kind, c.task, c.reason) for c in changes] == [
        ("log", "good", "hi"),
        ("graph_imported", None, "1 tasks, 0 edges"),
    ]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_hundred_times_the_tasks_take_a_hundred_times_as_long() -> None:
    """Import and export are linear: 100,000 tasks per task as quick as 1,000."""

    async def measure(count: int) -> float:
        text = lines(
            *(
                {
                    "id": f"t{n}",
                    "title": f"task {n}",
                    "after": [f"t{n // 2}", f"t{n - 1}"] if n > 1 else [],
                }
                for n in range(count)
            )
        )
        graph = await a_graph()
        start = time.process_time()
        await graph.take(text)
        await graph.export()
        spent = time.process_time() - start
        await graph.store.close()
        return spent / count

    small = min([await measure(1_000) for _ in range(5)])
    large = await measure(100_000)

    assert large / small < 3
