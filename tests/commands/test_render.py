"""What people read: one format for each command, and no text of a task breaks it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph.commands.local import ServiceStatusQuery, StartService
from workgraph.commands.render import (
    Style,
    render,
    render_error,
    render_json,
    render_notes,
)
from workgraph.commands.render_agents import progress_line
from workgraph.graph import requests as r
from workgraph.graph.chat_requests import ChatData, ChatsData
from workgraph.graph.errors import NotFoundError, WorkgraphError
from workgraph.graph.model import (
    Artifact,
    ClientEnd,
    Edge,
    EndKind,
    Failure,
    Usage,
)
from workgraph.graph.replies import (
    AgentData,
    ChangeData,
    DoneData,
    ExecutorData,
    FindingData,
    ImportedData,
    KilledData,
    LogData,
    OutputData,
    ProgressData,
    ProviderData,
    ReactorData,
    ReasonData,
    Reply,
    RunningData,
    ServiceData,
    SettingData,
    StatusData,
    TaskData,
    TrialData,
    UsageData,
    WaitData,
    WhyData,
)

PIPE = Style()
TERMINAL = Style(color=True, columns=40, now=180_000_000, relative_times=True)
EPOCH = "1970-01-01T00:00:00.000Z"
HOSTILE = "a\nStatus: done\r\x1b[2J\x9b31m\u202e\u2028'\"`$(x)\t\x00end"
TAMED = "a\\nStatus: done\\r\\x1b[2J\\x9b31m\\u202e\\u2028'\"`$(x)\\t\\x00end"


def a_task_data(**values: object) -> TaskData:
    """An open task of no interest."""
    boring: dict[str, Any] = {
        "id": "a",
        "title": "A",
        "status": "open",
        "ready": False,
        "paused": False,
        "priority": 2,
        "after": (),
        "before": (),
        "artifacts": (),
        "actor": None,
        "agent": None,
        "attempts": 0,
        "max_attempts": 3,
        "retry_on": "crash",
        "retry_at": None,
        "not_before": None,
        "failure": None,
        "progress": None,
        "usage": Usage(),
        "gate": None,
        "summary": None,
        "superseded_by": None,
        "reserved_for": None,
        "added_by": None,
        "claimed_by": None,
        "claimed_at": None,
        "created_at": EPOCH,
        "started_at": None,
        "completed_at": None,
        "updated_at": EPOCH,
    }
    return TaskData(**(boring | values))


def an_agent(**values: object) -> AgentData:
    """A working agent of no interest."""
    boring: dict[str, Any] = {
        "id": "agent-1",
        "task": "a",
        "attempt": 1,
        "actor": None,
        "executor": "shell",
        "model": None,
        "endpoint": None,
        "status": "working",
        "outcome": None,
        "exit_code": None,
        "signal": None,
        "pid": 7,
        "started_at": EPOCH,
        "ended_at": None,
        "last_activity_at": EPOCH,
        "usage": Usage(),
        "workspace": None,
        "reason": None,
        "leftover": (),
    }
    return AgentData(**(boring | values))


def an_entry(**values: object) -> LogData:
    """An entry of a log, a worker's."""
    boring: dict[str, Any] = {
        "at": EPOCH,
        "by": "ada",
        "agent": None,
        "attempt": None,
        "kind": "log",
        "message": "half way",
        "percent": None,
    }
    return LogData(**(boring | values))


def a_setting(**values: object) -> SettingData:
    """A setting that nobody has set."""
    boring: dict[str, Any] = {
        "key": "dispatcher.max_agents",
        "value": 4,
        "origin": "default",
        "file": None,
    }
    return SettingData(**(boring | values))


def shown(request: Any, data: object, style: Style = PIPE) -> str:
    """The text of a reply without notes."""
    return render(request, Reply(data=data), style)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (r.AddTask(title="A"), "a\n"),
        (r.NextTask(), "a\n"),
        (r.EditTask(task="a"), "a: changed\n"),
        (r.LinkTask(task="a", after="b"), "a: waits for b\n"),
        (r.UnlinkTask(task="a", after="b"), "a: no longer waits for b\n"),
        (r.UnclaimTask(task="a"), "a: open\n"),
        (r.Pause(task="a"), "a: paused\n"),
        (r.Resume(task="a"), "a: resumed\n"),
        (r.Log(task="a", message="m"), "a: logged\n"),
        (r.Heartbeat(task="a"), ""),
        (r.ReportProgress(task="a", percent=40.0), "a: 40 %\n"),
        (r.RecordArtifact(task="a", path="/x/o.json"), "a: recorded o.json\n"),
        (
            r.RecordArtifact(task="a", path="/x/o.json", name="o"),
            "a: recorded o\n",
        ),
        (r.RetryTasks(task=("a",), dry_run=True), "a: would be open again\n"),
    ],
)
def test_change_of_a_task_is_one_short_line(request_: object, text: str) -> None:
    """Whatever the change, the line begins with the id, or is the id."""
    assert shown(request_, a_task_data()) == text


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (r.FinishTask(task="a"), "done", "a: done\n"),
        (r.FinishTask(task="a"), "pending-review", "a: pending-review\n"),
        (r.SubmitTask(task="a"), "pending-review", "a: pending-review\n"),
        (r.ApproveTask(task="a"), "done", "a: done\n"),
        (r.RejectTask(task="a", reason="R"), "open", "a: open\n"),
        (r.FailTask(task="a", reason="R"), "failed", "a: failed\n"),
        (r.AbandonTask(task="a"), "abandoned", "a: abandoned\n"),
        (r.ClaimTask(task="a"), "in-progress", "a: in-progress (ada)\n"),
    ],
)
def test_change_of_status_says_what_it_is_now(
    request_: object, status: str, text: str
) -> None:
    """Not what was asked for: a gate may have come between."""
    assert shown(request_, a_task_data(status=status, actor="ada")) == text


def test_several_tasks_get_a_line_each() -> None:
    """`retry` with several."""
    tasks = (a_task_data(id="a"), a_task_data(id="b", paused=True))

    assert shown(r.RetryTasks(task=("a", "b")), tasks) == "a: open\nb: open (paused)\n"


def test_status_is_one_bare_word() -> None:
    """Without colour anywhere: scripts compare it."""
    data = StatusData(task="a", status="done")

    assert shown(r.GetTaskStatus(task="a"), data) == "done\n"
    assert shown(r.GetTaskStatus(task="a"), {"task": "a", "status": "done"}) == "done\n"


def test_page_of_a_task_of_no_interest() -> None:
    """What is not there has no line."""
    assert shown(r.ShowTask(task="a"), a_task_data()) == (
        "ID: a\n"
        "Title: A\n"
        "Status: open\n"
        "Attempts: 0 of 3\n"
        "Priority: 2\n"
        "Retry on: crash\n"
        f"Created: {EPOCH}\n"
    )


def test_page_of_a_task_has_everything() -> None:
    """Keys first, then sections."""
    data = a_task_data(
        status="in-progress",
        paused=True,
        agent="agent-3",
        actor="ada",
        attempts=1,
        description="Do it.\n\nStatus: done\n",
        tags=("x", "y"),
        timeout_s=5400.0,
        budget_usd=0.5,
        after=(Edge(id="b"), Edge(id="c", on="settled")),
        before=("d",),
        env={"A": "1"},
        artifacts=(
            Artifact(name="o", path="/o.json", sha256="e3b0", size=7, agent="agent-3"),
        ),
        failure=Failure(class_="crashed", reason="signal 9"),
        progress=ProgressData(percent=40.0, message="half", at=EPOCH),
        usage=Usage(input_tokens=5, output_tokens=2, cost_usd=0.25),
        metadata={"k": [1]},
        runs=(
            an_agent(
                outcome="rate-limited",
                status="ended",
                model="opus",
                account="mine",
                session="s1",
                resumed=True,
                client_end=ClientEnd(kind=EndKind.LIMITED, message="wait"),
                usage=UsageData(input_tokens=5, output_tokens=2, cost_usd=0.25),
                cached_tokens=3,
            ),
            an_agent(id="agent-3", attempt=2),
        ),
    )

    assert shown(r.ShowTask(task="a"), data) == (
        "ID: a\n"
        "Title: A\n"
        "Status: in-progress\n"
        "Paused: yes\n"
        "Assigned: agent-3\n"
        "Actor: ada\n"
        "Attempts: 1 of 3\n"
        "Progress: 40 %, half\n"
        "Failure: crashed: signal 9\n"
        "Priority: 2\n"
        "Tags: x, y\n"
        "Retry on: crash\n"
        "Timeout: 90m\n"
        "Budget USD: 0.5\n"
        "Tokens: 5 in, 2 out\n"
        "Cost: $0.25\n"
        f"Created: {EPOCH}\n"
        "\n"
        "Description:\n"
        "  Do it.\n"
        "\n"
        "  Status: done\n"
        "\n"
        "Attempts:\n"
        "  1 agent-1: rate-limited (limited: wait); shell opus, account mine, resumed"
        f" session s1, 5 in, 3 cached, 2 out, $0.25, {EPOCH}\n"
        f"  2 agent-3: working; shell, {EPOCH}\n"
        "\n"
        "After:\n"
        "  b\n"
        "  c (settled)\n"
        "\n"
        "Before:\n"
        "  d\n"
        "\n"
        "Environment:\n"
        "  A=1\n"
        "\n"
        "Artifacts:\n"
        "  o: /o.json (7 bytes, e3b0)\n"
        "\n"
        "Metadata:\n"
        "  k: [1]\n"
    )


def test_list_is_aligned_and_plain() -> None:
    """No tabs, no colours, no headings, nothing cut off in a pipe."""
    tasks = (
        a_task_data(title="First " * 40),
        a_task_data(id="long-id", status="in-progress", agent="agent-3", paused=True),
    )

    assert shown(r.ListTasks(), tasks) == (
        f"a        open         P2  -        {'First ' * 40}".rstrip() + "\n"
        "long-id  in-progress  P2  agent-3  (paused) A\n"
    )


def test_list_fits_a_terminal_without_cutting_ids() -> None:
    """Headings and colours there; the title gives way."""
    tasks = (a_task_data(id="an-id-that-is-quite-long", title="title " * 9),)

    assert shown(r.ListTasks(), tasks, TERMINAL).splitlines() == [
        "ID                        STATUS  PRIO  ASSIGNED  TITLE",
        "an-id-that-is-quite-long  open    P2    -         title title tit…",
    ]
    coloured = shown(r.ListTasks(), (a_task_data(status="done"),), TERMINAL)
    assert "\x1b[32mdone\x1b[0m" in coloured


def test_wide_characters_are_aligned() -> None:
    """A character of two columns counts for two."""
    agents = (an_agent(actor="日本"), an_agent(id="agent-22", actor="x"))

    lines = shown(r.ListAgents(), agents).splitlines()

    assert lines[0].index("shell") == lines[1].index("shell") - 2


@pytest.mark.parametrize(
    "request_",
    [r.ListTasks(), r.ListReady(), r.ListBlocked(), r.ListAgents(), r.CheckGraph()],
)
@pytest.mark.parametrize("style", [PIPE, TERMINAL])
def test_empty_list_prints_nothing(request_: object, style: Style) -> None:
    """Not even a heading."""
    assert shown(request_, (), style) == ""


def test_ready_and_blocked_have_columns_of_their_own() -> None:
    """Ready shows for whom, blocked what it is after."""
    task = a_task_data(actor="ada", after=(Edge(id="b"), Edge(id="c")))

    assert shown(r.ListReady(), (task,)) == "a  P2  ada  A\n"
    assert shown(r.ListBlocked(), (task,)) == "a  P2  b,c  A\n"


def test_agents_show_outcome_times_and_cost() -> None:
    """The outcome takes the place of the status of one that has ended."""
    ended = an_agent(
        status="ended",
        outcome="timed-out",
        actor="bot",
        model="opus",
        ended_at="1970-01-01T00:02:00.000Z",
        usage=Usage(input_tokens=7, cost_usd=1.0),
        last_sign="call",
        said="All is\n done.",
    )

    assert shown(r.ListAgents(), (ended,)) == (
        f"agent-1  a  1  timed-out  bot  shell  opus  {EPOCH}"
        "  1970-01-01T00:02:00.000Z  call  7  $1.00  All is done.\n"
    )
    assert "3m ago" in shown(r.ListAgents(), (ended,), TERMINAL)


def test_agents_show_what_they_do_and_what_they_try_to_get_over() -> None:
    """The gravest of it, on one line, as much as a terminal has room for."""
    busy = an_agent(tool="Bash: ls\x1b[2J " + "x" * 99, said="I look.")
    vain = an_agent(trouble=ClientEnd(kind=EndKind.LIMITED, message="429"), tool="t")

    busy_line, vain_line = shown(r.ListAgents(), (busy, vain)).splitlines()
    cut = shown(r.ListAgents(), (busy,), TERMINAL).splitlines()[1]

    assert busy_line.endswith("Bash: ls\\x1b[2J " + "x" * 99)
    assert vain_line.endswith("tries again: 429")
    assert cut.endswith("Bash: ls\\x1b[2J…")


def test_progress_says_who_holds_it_back_and_what_is_done() -> None:
    """Counts, accounts in trouble, who was heard last; never wider than a terminal."""
    agents = (
        an_agent(tool="Bash: make"),
        an_agent(id="agent-2", said="ok", last_activity_at="1970-01-01T00:00:01.000Z"),
        an_agent(id="agent-3", last_activity_at="1970-01-01T00:00:02.000Z"),
    )
    providers = (
        ProviderData(account="codex", state="ok", until=None, reason=None),
        ProviderData(account="claude", state="limited", until=EPOCH, reason="429"),
    )

    line = progress_line({"done": 1, "open": 2}, 3, agents, providers, 200)

    assert line == f"1/3 done, 3 running, claude limited until {EPOCH}, agent-2: ok"
    assert progress_line({"done": 0}, 3, agents, providers, 20) == "0/0 done, 3 runnin…"


def test_executors_are_a_table_with_their_problems_below() -> None:
    """One that can't be loaded is there, too."""
    found = (
        ExecutorData(
            name="claude",
            source="built-in",
            configured=True,
            default=True,
            program="claude",
            path="/usr/bin/claude",
            stream="claude",
            account="claude",
            can_resume=True,
            credentials="ok",
        ),
        ExecutorData(
            name="x",
            source="settings",
            configured=True,
            default=False,
            problems=("no argv\x1b",),
        ),
    )

    assert shown(r.ListExecutors(), found) == (
        "claude*  built-in+settings  claude  claude  yes  ok          /usr/bin/claude\n"
        "x        settings           -       -       no   not-needed  x: not there\n"
        "x: no argv\\x1b\n"
    )


def test_a_trial_is_a_page() -> None:
    """What is not known is left out."""
    trial = TrialData(
        executor="tool",
        program="/bin/tool",
        version="1.2",
        account=None,
        model="opus",
        endpoint=None,
        seconds=1.5,
        usage=UsageData(input_tokens=3, output_tokens=1, cost_usd=None),
        said="ok",
        outcome="finished",
        message="ok",
    )

    assert shown(r.TryExecutor(executor="tool"), trial) == (
        "Executor: tool\nProgram: /bin/tool\nVersion: 1.2\nModel: opus\n"
        "Ended: finished: ok\nSeconds: 1.5\nTokens: 3 in, 1 out\nSaid: ok\n"
    )


def test_why_has_a_line_for_each_reason() -> None:
    """With its remedy."""
    why = WhyData(
        task="a",
        status="open",
        running=False,
        run=None,
        reasons=(
            ReasonData(code="paused", message="it is paused", remedy="wg resume a"),
            ReasonData(code="backoff", message="until 5", remedy=""),
        ),
    )

    assert shown(r.ExplainTask(task="a"), why) == (
        "paused: it is paused → wg resume a\nbackoff: until 5\n"
    )


def test_why_of_a_running_task_says_since_when_and_by_what_plan() -> None:
    """The plan's one line."""
    why = WhyData(
        task="a",
        status="in-progress",
        running=True,
        run=RunningData(agent="agent-3", actor="bot", since=EPOCH, plan="executor=x"),
        reasons=(),
    )

    assert shown(r.ExplainTask(task="a"), why) == (
        f"a is running: agent-3 for bot, since {EPOCH}\n  executor=x\n"
    )


def test_plan_shows_each_value_with_its_source() -> None:
    """Argv as a shell would take it; the environment and problems below."""
    plan = {
        "task": "a",
        "executor": {"value": "claude", "source": "local [dispatcher].executor"},
        "endpoint": {"value": None, "source": "none (executor=claude)"},
        "argv": {"value": ["tool", "-p", "a b\n"], "source": "default"},
        "timeout_s": {"value": 7200.0, "source": "default"},
        "env": {"A": {"value": "1", "source": "task.env"}},
        "problems": ["no key"],
    }

    assert shown(r.GetPlan(task="a"), plan) == (
        "task: a\n"
        "executor: claude  (local [dispatcher].executor)\n"
        "endpoint: none  (none (executor=claude))\n"
        "argv: tool -p 'a b\\n'  (default)\n"
        "timeout_s: 7200.0  (default)\n"
        "\n"
        "env:\n"
        "  A=1  (task.env)\n"
        "\n"
        "problems:\n"
        "  no key\n"
    )


def test_log_is_one_line_an_entry() -> None:
    """Words as they are, the machinery's with their kind."""
    entries = (
        an_entry(message="a\nb"),
        an_entry(agent="agent-1", kind="progress", percent=40.0, message="half"),
        an_entry(kind="status_changed", by="workgraph", message="open → done"),
    )

    assert shown(r.Log(task="a", list=True), entries) == (
        f"{EPOCH}  ada  a\\nb\n"
        f"{EPOCH}  agent-1  progress 40 %: half\n"
        f"{EPOCH}  workgraph  status_changed open → done\n"
    )


def a_chat(**fields: Any) -> ChatData:
    """A chat that can't answer just now."""
    values: dict[str, Any] = {
        "name": "talk",
        "state": "backing-off",
        "consumers": 0,
        "queued": 1,
        "last_consumer_at": None,
        "archived_at": None,
        "purged_at": None,
        "backoff_until": None,
    }
    return ChatData(**(values | fields))


def test_service_pages() -> None:
    """Running or not; what went wrong is named."""
    service = ServiceData(
        running=True,
        pid=7,
        since=EPOCH,
        version="0.1.0",
        socket="/s",
        paused=True,
        max_agents=4,
        agents=1,
        ready=2,
        counts={"open": 3, "done": 1},
        reactors=(
            ReactorData(name="patrol", ok=True, error=None),
            ReactorData(name="gates", ok=False, error="boom\n"),
        ),
        providers=(
            ProviderData(account="x", state="limited", until=EPOCH, reason="429"),
        ),
        chats=ChatsData(
            counts={"idle": 1, "live": 0, "backing-off": 2, "archived": 4},
            consumers=1,
            queued=2,
            backing_off=(
                a_chat(id=".chat-1", backoff_until=EPOCH, failures=3),
                a_chat(id=".chat-2", problem="no \x1b login", remedy="log in"),
            ),
        ),
    )

    assert shown(ServiceStatusQuery(), ServiceData(running=False)) == "Running: no\n"
    assert shown(r.GetServiceStatus(), service) == (
        "Running: yes\n"
        "Pid: 7\n"
        f"Since: {EPOCH}\n"
        "Version: 0.1.0\n"
        "Socket: /s\n"
        "Paused: yes\n"
        "Agents: 1 of 4\n"
        "Ready: 2\n"
        "Tasks: 3 open, 1 done\n"
        "Chats: 1 idle, 2 backing-off, 4 archived; 2 messages wait; 1 attached\n"
        "Reactor gates: boom\\n\n"
        f"Provider x: limited until {EPOCH}: 429\n"
        f"Chat .chat-1: backing-off until {EPOCH}: its handler has crashed 3 times in a"
        " row → wg chat show .chat-1\n"
        "Chat .chat-2: backing-off: no \\x1b login → log in\n"
    )
    assert shown(r.Pause(), service) == "service: paused\n"


def test_settings() -> None:
    """`get` prints the bare value, `list` lines as in a file."""
    text = a_setting(key="a.b", value="x y", origin="local", file=".wg/config.toml")

    assert shown(r.GetConfig(key="a.b"), text) == "x y\n"
    assert shown(r.GetConfig(key="k"), a_setting()) == "4\n"
    assert shown(r.GetConfig(key="k"), a_setting(value=True)) == "true\n"
    assert shown(r.GetConfig(key="k"), a_setting(value=["a"])) == '["a"]\n'
    assert shown(r.SetConfig(key="a.b", value="x y"), text) == 'a.b = "x y"\n'
    assert shown(r.ListConfig(), (a_setting(), text)) == (
        'dispatcher.max_agents = 4\na.b = "x y"\n'
    )
    assert shown(r.ListConfig(origin=True), (a_setting(), text)) == (
        'dispatcher.max_agents = 4  # default\na.b = "x y"  # local .wg/config.toml\n'
    )


def test_killed_says_what_became_of_the_task() -> None:
    """And what could not be ended."""
    killed = (
        KilledData(agent="agent-1", task="a", status="open", paused=True, leftover=()),
        KilledData(
            agent="agent-2", task="b", status="failed", paused=False, leftover=(7,)
        ),
    )

    assert shown(r.KillAgents(all=True), killed) == (
        "agent-1: ended; a: open (paused)\nagent-2: ended; b: failed; left over: 7\n"
    )


def test_output_is_escaped_unless_raw() -> None:
    """Newlines and tabs stay."""
    data = OutputData(
        agent="agent-1", task="a", path="/p", output="a\tb\n\x1b[2Jc", stderr="e"
    )

    assert shown(r.GetOutput(agent="agent-1"), data) == (
        "a\tb\n\\x1b[2Jc\n--- stderr ---\ne\n"
    )
    assert shown(r.GetOutput(agent="agent-1", raw=True), data) == "a\tb\n\x1b[2Jce"


def test_other_answers() -> None:
    """Import, check, spawn, export, watch, and what has nothing to tell."""
    imported = ImportedData(tasks=1, edges=2, actors=0, log=0, warnings=("odd\n",))
    finding = FindingData(code="no_skill", task="a", message="m", remedy="wg edit a")
    change = ChangeData(
        seq=1,
        at=EPOCH,
        kind="log",
        task="a",
        agent=None,
        actor=None,
        by="ada",
        from_=None,
        to=None,
        reason="x\n",
    )

    assert shown(r.ImportGraph(text=""), imported) == ("imported 1 task, 2 edges\n")
    assert shown(r.CheckGraph(), (finding,)) == "no_skill: a: m → wg edit a\n"
    assert shown(r.SpawnAgent(task="a"), an_agent()) == (
        "agent-1: started on a (attempt 1, shell)\n"
    )
    assert shown(r.ExportGraph(), '{"kind":"task"}\n') == '{"kind":"task"}\n'
    assert shown(r.Watch(), change) == (
        '{"seq":1,"at":"1970-01-01T00:00:00.000Z","kind":"log","task":"a",'
        '"agent":null,"actor":null,"by":"ada","from":null,"to":null,'
        '"reason":"x\\n","verb":null,"attempt":null,"percent":null}\n'
    )
    assert shown(r.Tick(), DoneData()) == ""
    assert shown(StartService(), DoneData(message="runs as 7")) == "runs as 7\n"
    assert shown(r.NextTask(), None) == ""


def test_notes_go_where_scripts_do_not_take_them_for_data() -> None:
    """After a change of state they are printed; beside a bare value they are not."""
    abandon, add = r.AbandonTask(task="a"), r.AddTask(title="A")
    reply = Reply(data=a_task_data(status="abandoned"), notes=("b is released",))

    assert render(abandon, reply, PIPE) == "a: abandoned\nb is released\n"
    assert render_notes(abandon, reply) == ""
    assert render(add, reply, PIPE) == "a\n"
    assert render_notes(add, reply) == "b is released\n"


def test_json_is_one_document() -> None:
    """With the schema, on one line."""
    reply = Reply(data=StatusData(task="a", status="open"))

    assert render_json(reply) == (
        b'{"schema":"wg/1","data":{"task":"a","status":"open"}}\n'
    )


def test_errors_for_people_and_programs() -> None:
    """A line and a hint, or a document."""
    error = NotFoundError("no task x\ny", hint="did you mean xy?")

    assert render_error(error, json=False) == (
        "wg: no task x\\ny\nhint: did you mean xy?\n"
    )
    assert render_error(error, json=True) == (
        '{"schema":"wg/1","error":{"code":"not_found","message":"no task x\\ny",'
        '"hint":"did you mean xy?"}}\n'
    )
    assert render_error(WorkgraphError("m"), json=False, prog="wgd") == "wgd: m\n"


def test_hostile_title_stays_on_its_line() -> None:
    """Newlines, escapes and marks that reorder text are written out."""
    task = a_task_data(title=HOSTILE)

    assert f"\nTitle: {TAMED}\n" in shown(r.ShowTask(task="a"), task)
    assert shown(r.ListTasks(), (task,)) == f"a  open  P2  -  {TAMED}\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_reaches_a_terminal_raw(text: str) -> None:
    """Whatever field it is in, on whatever terminal."""
    task = a_task_data(
        title=text,
        description=text,
        tags=(text,),
        env={text: text},
        agent=text,
        metadata={text: text},
    )
    plain = Style(columns=60, now=0, relative_times=True)

    for request in (r.ShowTask(task="a"), r.ListTasks()):
        data = task if isinstance(request, r.ShowTask) else (task,)
        for line in shown(request, data, plain).split("\n"):
            assert not set(line.replace("\t", "")) & CONTROLS
    lines = shown(r.ShowTask(task="a"), task).splitlines()
    assert sum(line.startswith("Status:") for line in lines) == 1


CONTROLS = {chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def test_a_page_of_a_task_in_waiting_says_for_what() -> None:
    """And what is asked, in one line each."""
    wait = WaitData(condition="answer", since=EPOCH, question="red\nor blue?")
    task = a_task_data(status="waiting", wait=wait)

    page = render(r.ShowTask(task="t"), Reply(data=task), PIPE)

    assert "\nWaits until: answer, since " in page
    assert "\nAsks: red\\nor blue?\n" in page
