"""Each command of the contract becomes the request that is meant."""

from typing import Any

import pytest

from workgraph.commands.local import (
    Doctor,
    InitProject,
    RestartService,
    RunDispatcher,
    ServiceStatusQuery,
    StartService,
    StopService,
)
from workgraph.commands.parse import Help, ParseContext, Parsed, parse_argv
from workgraph.graph import requests as r
from workgraph.graph.task_options import TaskOptions


def parsed(*argv: str, cwd: str = "/home/ada", **env: str) -> Parsed:
    """Parses a line that asks for something."""
    result = parse_argv(argv, ParseContext(cwd=cwd, env=env))
    assert isinstance(result, Parsed)
    return result


def request(*argv: str, **env: str) -> object:
    """Only the request."""
    return parsed(*argv, **env).request


COMMANDS: list[tuple[str, object]] = [
    ("init", InitProject()),
    ("init --agents-md", InitProject(agents_md=True)),
    ("add T", r.AddTask(title="T")),
    (
        "add T --id t --after a --after b --independent --paused",
        r.AddTask(title="T", id="t", after=("a", "b"), independent=True, paused=True),
    ),
    ("edit a --title T", r.EditTask(task="a", title="T")),
    (
        "edit a --add-after b --remove-after c --add-tag x --remove-tag y --paused",
        r.EditTask(
            task="a",
            add_after=("b",),
            remove_after=("c",),
            add_tag=("x",),
            remove_tag=("y",),
            paused=True,
        ),
    ),
    (
        "edit a --add-skill p --remove-skill q --no-independent",
        r.EditTask(task="a", add_skill=("p",), remove_skill=("q",), independent=False),
    ),
    ("edit a --after b", r.EditTask(task="a", after=("b",))),
    (
        "edit a --priority= --complexity= --review= --max-attempts= --retry-on=",
        r.EditTask(
            task="a",
            priority=None,
            complexity=None,
            review=None,
            max_attempts=None,
            retry_on=None,
        ),
    ),
    (
        "edit a --budget-usd= --budget-tokens= --context-scope= --timeout= --title T",
        r.EditTask(
            task="a",
            title="T",
            budget_usd=None,
            budget_tokens=None,
            context_scope=None,
            timeout="",
        ),
    ),
    ("link a --after b", r.LinkTask(task="a", after="b")),
    ("link a --after b --on settled", r.LinkTask(task="a", after="b", on="settled")),
    ("unlink a --after b", r.UnlinkTask(task="a", after="b")),
    ("show a", r.ShowTask(task="a")),
    ("list", r.ListTasks()),
    (
        "list --status open --status in-progress --tag t --actor ada --stale --all",
        r.ListTasks(
            status=("open", "in-progress"), tag="t", actor="ada", stale=True, all=True
        ),
    ),
    ("ready", r.ListReady()),
    ("blocked", r.ListBlocked()),
    ("why a", r.ExplainTask(task="a")),
    ("task-status a", r.GetTaskStatus(task="a")),
    ("check", r.CheckGraph()),
    ("export", r.ExportGraph()),
    ("import f --format beads", r.ImportGraph(text="", format="beads")),
    ("import f", r.ImportGraph(text="")),
    ("backup /tmp/b.db", r.BackUp(file="/tmp/b.db")),
    ("claim a", r.ClaimTask(task="a")),
    ("claim a --actor ada --force", r.ClaimTask(task="a", actor="ada", force=True)),
    ("unclaim a", r.UnclaimTask(task="a")),
    ("next", r.NextTask()),
    ("next --actor ada --claim", r.NextTask(actor="ada", claim=True)),
    ("done a", r.FinishTask(task="a")),
    ("done a --summary S", r.FinishTask(task="a", summary="S")),
    ("submit a", r.SubmitTask(task="a")),
    ("approve a", r.ApproveTask(task="a")),
    ("reject a --reason R", r.RejectTask(task="a", reason="R")),
    ("fail a --reason R", r.FailTask(task="a", reason="R")),
    ("retry a b", r.RetryTasks(task=("a", "b"))),
    (
        "retry --failed --tag t --reason R --set-model m --set-executor x --dry-run",
        r.RetryTasks(
            failed=True,
            tag="t",
            reason="R",
            set_model="m",
            set_executor="x",
            dry_run=True,
        ),
    ),
    ("abandon a", r.AbandonTask(task="a")),
    (
        "abandon a --reason R --superseded-by b",
        r.AbandonTask(task="a", reason="R", superseded_by="b"),
    ),
    ("pause a", r.Pause(task="a")),
    ("resume a", r.Resume(task="a")),
    ("log a hello", r.Log(task="a", message="hello")),
    ("log a --list", r.Log(task="a", list=True)),
    ("heartbeat a", r.Heartbeat(task="a")),
    ("progress a 40", r.ReportProgress(task="a", percent=40.0)),
    (
        "progress a 40.5 half",
        r.ReportProgress(task="a", percent=40.5, message="half"),
    ),
    ("artifact a /x/o.json", r.RecordArtifact(task="a", path="/x/o.json")),
    (
        "artifact a out/o.json --name o",
        r.RecordArtifact(task="a", path="/home/ada/out/o.json", name="o"),
    ),
    ("service start", StartService()),
    (
        "service start --set a.b=1 --set c=d=e --max-agents 0",
        StartService(settings=("a.b=1", "c=d=e"), max_agents=0),
    ),
    ("service stop", StopService()),
    ("service stop --kill-agents", StopService(kill_agents=True)),
    ("service restart --max-agents 3", RestartService(max_agents=3)),
    ("service status", ServiceStatusQuery()),
    ("service pause", r.Pause()),
    ("service resume", r.Resume()),
    ("service reload", r.Reconfigure()),
    ("service freeze", r.Freeze()),
    ("service thaw", r.Thaw()),
    ("service tick", r.Tick()),
    ("agents", r.ListAgents()),
    ("agents --alive", r.ListAgents(alive=True)),
    ("spawn a", r.SpawnAgent(task="a")),
    (
        "spawn a --executor x --model m --endpoint e --actor ada",
        r.SpawnAgent(task="a", executor="x", model="m", endpoint="e", actor="ada"),
    ),
    ("plan a", r.GetPlan(task="a")),
    (
        "plan a --executor x --model m --endpoint e --actor ada",
        r.GetPlan(task="a", executor="x", model="m", endpoint="e", actor="ada"),
    ),
    ("kill agent-1 agent-2", r.KillAgents(agent=("agent-1", "agent-2"))),
    ("kill --all --requeue", r.KillAgents(all=True, requeue=True)),
    (
        "kill agent-1 --fail --force",
        r.KillAgents(agent=("agent-1",), fail=True, force=True),
    ),
    ("output agent-1", r.GetOutput(agent="agent-1")),
    ("output agent-1 -f --raw", r.GetOutput(agent="agent-1", follow=True, raw=True)),
    ("watch", r.Watch()),
    ("watch --since 7 --task a", r.Watch(since=7, task="a")),
    ("run", RunDispatcher()),
    (
        "run --until-idle --max-agents 2 --set a=b",
        RunDispatcher(until_idle=True, max_agents=2, settings=("a=b",)),
    ),
    ("config get dispatcher.max_agents", r.GetConfig(key="dispatcher.max_agents")),
    ("config set a b", r.SetConfig(key="a", value="b")),
    ("config set a b --global", r.SetConfig(key="a", value="b", globally=True)),
    ("config list", r.ListConfig()),
    ("config list --origin", r.ListConfig(origin=True)),
    ("doctor", Doctor()),
]

TASK_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("-d D", {"description": "D"}),
    ("--description D", {"description": "D"}),
    ("--tag a --tag b", {"tag": ("a", "b")}),
    ("--priority 0", {"priority": 0}),
    ("--skill a --skill b", {"skill": ("a", "b")}),
    ("--prefer a", {"prefer": ("a",)}),
    ("--complexity moderate", {"complexity": "moderate"}),
    ("--input a:b --input c", {"input": ("a:b", "c")}),
    ("--output o.json", {"output": ("o.json",)}),
    ("--context-file docs/x.md", {"context_file": ("docs/x.md",)}),
    ("--prompt P", {"prompt": "P"}),
    ("--exec true", {"exec": "true"}),
    ("--executor claude", {"executor": "claude"}),
    ("--model opus", {"model": "opus"}),
    ("--endpoint http://x", {"endpoint": "http://x"}),
    ("--tool git", {"tool": ("git",)}),
    ("--working-dir sub", {"working_dir": "sub"}),
    ("--env A=1 --env B=x=y", {"env": ("A=1", "B=x=y")}),
    ("--verify true --verify false", {"verify": ("true", "false")}),
    ("--review human", {"review": "human"}),
    ("--max-attempts 5", {"max_attempts": 5}),
    ("--retry-on failure", {"retry_on": "failure"}),
    ("--timeout 2h", {"timeout": "2h"}),
    ("--stall-timeout 90s", {"stall_timeout": "90s"}),
    ("--abandon-after 1d", {"abandon_after": "1d"}),
    ("--not-before 30m", {"not_before": "30m"}),
    ("--actor ada", {"actor": "ada"}),
    ("--estimate 1h", {"estimate": "1h"}),
    ("--budget-tokens 1000", {"budget_tokens": 1000}),
    ("--budget-usd 0.5", {"budget_usd": 0.5}),
    ("--context-scope graph", {"context_scope": "graph"}),
]

OWN_TASK: list[tuple[str, object]] = [
    ("done", r.FinishTask(task="me")),
    ("done --summary S", r.FinishTask(task="me", summary="S")),
    ("done other", r.FinishTask(task="other")),
    ("done --task other", r.FinishTask(task="other")),
    ("submit", r.SubmitTask(task="me")),
    ("fail --reason R", r.FailTask(task="me", reason="R")),
    ("show", r.ShowTask(task="me")),
    ("show other", r.ShowTask(task="other")),
    ("why", r.ExplainTask(task="me")),
    ("task-status", r.GetTaskStatus(task="me")),
    ("plan", r.GetPlan(task="me")),
    ("heartbeat", r.Heartbeat(task="me")),
    ("link --after b", r.LinkTask(task="me", after="b")),
    ("edit --priority 1", r.EditTask(task="me", priority=1)),
    ("pause", r.Pause(task="me")),
    ("service pause", r.Pause()),
    ("log half", r.Log(task="me", message="half")),
    ("log me half", r.Log(task="me", message="half")),
    ("log --task other half", r.Log(task="other", message="half")),
    ("log --list", r.Log(task="me", list=True)),
    ("log other --list", r.Log(task="other", list=True)),
    ("progress 40", r.ReportProgress(task="me", percent=40.0)),
    ("progress 40 half", r.ReportProgress(task="me", percent=40.0, message="half")),
    ("progress 40 50", r.ReportProgress(task="me", percent=40.0, message="50")),
    ("progress me 40", r.ReportProgress(task="me", percent=40.0)),
    (
        "progress 7 40 half",
        r.ReportProgress(task="7", percent=40.0, message="half"),
    ),
    (
        "progress --task 7 40 half",
        r.ReportProgress(task="7", percent=40.0, message="half"),
    ),
    ("artifact o.json", r.RecordArtifact(task="me", path="/home/ada/o.json")),
    ("artifact x o.json", r.RecordArtifact(task="x", path="/home/ada/o.json")),
    ("watch", r.Watch()),
]


@pytest.mark.parametrize(("line", "expected"), COMMANDS)
def test_command_becomes_its_request(line: str, expected: object) -> None:
    """What the line says is what is asked for, and nothing else."""
    assert request(*line.split()) == expected


@pytest.mark.parametrize(("options", "fields"), TASK_OPTIONS)
def test_add_and_edit_share_the_options_of_a_task(
    options: str, fields: dict[str, Any]
) -> None:
    """Each option sets one field and leaves all others unset."""
    words = options.split()

    assert request("add", "T", *words) == r.AddTask(title="T", **fields)
    assert request("edit", "a", *words) == r.EditTask(task="a", **fields)


def test_every_task_option_is_in_the_table() -> None:
    """A new field of `TaskOptions` needs an option, and a line above."""
    named = {field for _, fields in TASK_OPTIONS for field in fields}

    assert named == set(TaskOptions.__struct_fields__) - {"token"}


@pytest.mark.parametrize(("line", "expected"), OWN_TASK)
def test_agent_may_leave_out_its_own_task(line: str, expected: object) -> None:
    """With WG_TASK_ID the id may be left out; the other words keep their order."""
    assert request(*line.split(), WG_TASK_ID="me") == expected


def test_empty_text_takes_a_list_away() -> None:
    """`edit --tag ''` leaves no tag."""
    assert request("edit", "a", "--tag", "", "--after", "") == r.EditTask(
        task="a", tag=(), after=()
    )


def test_text_of_any_kind_is_taken_as_it_is() -> None:
    """Nothing in a title is expanded, split or refused."""
    title = "a 'b' \"c\" $(d) `e` {f}\n\x1b[31m --json ünïcödé"

    assert request("add", "--", title) == r.AddTask(title=title)


def test_word_after_double_dash_is_no_option() -> None:
    """`--` ends the options."""
    result = parsed("add", "--", "--json")

    assert result == Parsed(request=r.AddTask(title="--json"), json=False)


@pytest.mark.parametrize(
    "line",
    ["--json show a", "show --json a", "show a --json", "--json show a --json"],
)
def test_json_is_taken_before_and_after_the_command(line: str) -> None:
    """`--json` may stand anywhere."""
    assert parsed(*line.split()) == Parsed(request=r.ShowTask(task="a"), json=True)


@pytest.mark.parametrize(
    "line", ["--dir /p show a", "show a --dir /p", "show --dir=/p a"]
)
def test_dir_is_left_to_the_client(line: str) -> None:
    """`--dir` may stand anywhere and changes nothing here."""
    assert request(*line.split()) == r.ShowTask(task="a")


def test_option_named_as_a_value_is_a_value() -> None:
    """`--json` as the value of another option is that value."""
    result = parsed("add", "T", "--exec", "--json")

    assert result == Parsed(request=r.AddTask(title="T", exec="--json"))


def test_token_goes_into_the_request() -> None:
    """An attempt says who it is with every request."""
    assert request("done", WG_TASK_ID="me", WG_TOKEN="t") == r.FinishTask(
        task="me", token="t"
    )


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("add T -d -", "description"),
        ("add T --prompt -", "prompt"),
        ("edit a -d -", "description"),
        ("done a --summary -", "summary"),
        ("submit a --summary -", "summary"),
        ("fail a --reason -", "reason"),
        ("reject a --reason -", "reason"),
        ("abandon a --reason -", "reason"),
        ("retry a --reason -", "reason"),
        ("log a -", "message"),
        ("progress a 40 -", "message"),
        ("import -", "text"),
        ("add -", None),
        ("log a --list", None),
    ],
)
def test_dash_reads_standard_input(line: str, field: str | None) -> None:
    """A long text that is `-` is to be filled by the caller."""
    assert parsed(*line.split()).stdin_field == field


def test_files_are_named_for_the_client_to_move() -> None:
    """Files of import, export and backup are in the caller's folder."""
    assert parsed("import", "g.jsonl").read_file == "/home/ada/g.jsonl"
    assert parsed("import", "-").read_file is None
    assert parsed("export", "g.jsonl").write_file == "/home/ada/g.jsonl"
    assert parsed("export").write_file is None
    assert parsed("export", "-").write_file is None
    assert parsed("backup", "../b.db").write_file == "/home/ada/../b.db"


ALL_COMMANDS = sorted(
    {
        " ".join(line.split()[: 2 if line.split()[0] in {"service", "config"} else 1])
        for line, _ in COMMANDS
    }
    | {"help", "service", "config"}
)


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """`--help`, `-h` and `wg help` give the same text, whatever else is said."""
    words = command.split()
    context = ParseContext(cwd="/", env={})

    text = parse_argv([*words, "--help"], context)

    assert isinstance(text, Help)
    assert text.text.startswith(f"Usage: wg {command} [OPTIONS]")
    assert "--json" in text.text
    assert parse_argv([*words, "-h", "--json"], context) == text
    assert parse_argv(["help", *words], context) == text


def test_help_lists_every_command() -> None:
    """Bare `wg`, `wg help` and `wg --help` show all commands."""
    context = ParseContext(cwd="/", env={})
    text = parse_argv([], context)

    assert isinstance(text, Help)
    assert parse_argv(["help"], context) == text
    assert parse_argv(["--help"], context) == text
    listed = {line.split()[0] for line in text.text.splitlines() if line.strip()}
    assert {command.split()[0] for command in ALL_COMMANDS} <= listed


def test_help_is_as_wide_as_the_terminal() -> None:
    """COLUMNS is honoured, within reason."""
    for columns, most in (
        ("50", 50),
        ("500", 100),
        ("nonsense", 88),
        ("0", 88),
        ("9" * 5000, 100),
    ):
        text = parse_argv(
            ["agents", "-h"], ParseContext(cwd="/", env={"COLUMNS": columns})
        )

        assert isinstance(text, Help)
        assert max(map(len, text.text.splitlines())) <= most


def test_version_is_printed() -> None:
    """`wg --version` names the program and its version."""
    text = parse_argv(["--version"], ParseContext(cwd="/", env={}))

    assert isinstance(text, Help)
    assert text.text.split()[0] == "wg"
    assert text.text.split()[1][0].isdigit()
