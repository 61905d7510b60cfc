import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.agents.plans import AGENT, HOST_ENV, World, a_host, a_task, words
from workgraph.agents.executor import goes_on, keeps_open
from workgraph.agents.plan import PlanError, plan_spawn
from workgraph.agents.planned import visible
from workgraph.agents.sandbox import Machine

CLIENTS = ["claude", "codex", "gemini", "opencode"]
NEW = "11111111-2222-3333-4444-555555555555"
OLD = "01a1ff84-7606-7d21-a2e4-e39bb2a9592a"
#: A folder whose name would end a quoted string.
ODD = '/p/a"b\\c'


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No setting is made yet."""
    return World(tmp_path)


@pytest.mark.parametrize(
    ("executor", "chosen"),
    [("claude", True), ("codex", False), ("gemini", True), ("opencode", False)],
)
def test_a_new_session_is_named_where_the_client_lets_us(
    world: World, executor: str, chosen: bool
) -> None:
    """And in a preview, where nobody has made an id yet, it is `<session>`."""
    task = a_task(executor=executor)
    agent = replace(AGENT, new_session=NEW)

    plan = plan_spawn(world.grounds(), task=task, agent=agent)
    preview = plan_spawn(world.grounds(), task=task, preview=True)

    pair = ("--session-id", NEW)
    assert (pair in zip(plan.argv.value, plan.argv.value[1:], strict=False)) == chosen
    assert plan.session == (NEW if chosen else None)
    assert not plan.resumes
    assert ("<session>" in preview.argv.value) == chosen


@pytest.mark.parametrize(
    ("executor", "start", "end"),
    [
        ("claude", ("-p",), ("--resume", OLD, "--model", "m")),
        ("codex", ("exec", "resume", "--json"), ("-m", "m", OLD, "-")),
        ("gemini", (), ("-m", "m", "--resume", OLD)),
        ("opencode", ("run",), ("-m", "m", "-s", OLD)),
    ],
)
def test_a_session_to_go_on_with(
    world: World, executor: str, start: tuple[str, ...], end: tuple[str, ...]
) -> None:
    """Each in its own way, with the same posture; no new session is named."""
    agent = replace(AGENT, session=OLD, new_session=NEW)
    task = a_task(executor=executor, model="m")

    plan = plan_spawn(world.grounds(), task=task, agent=agent)
    fresh = plan_spawn(world.grounds(), task=task, agent=AGENT)

    argv = plan.argv.value
    assert argv[1 : 1 + len(start)] == start
    assert argv[-len(end) :] == end
    assert NEW not in argv
    assert (plan.session, plan.resumes) == (OLD, True)
    left = [a for a in fresh.argv.value if a not in argv]
    assert left == []


def test_who_cant_go_on_with_a_session_starts_anew(world: World) -> None:
    """The session is not among what it is told of."""
    grounds = world.grounds('[executors.t]\nargv = ["t", "{task}"]\n')
    agent = replace(AGENT, session=OLD, new_session=NEW)

    plan = plan_spawn(grounds, task=a_task(executor="t"), agent=agent)

    assert plan.argv.value == ("/usr/bin/t", "t")
    assert (plan.session, plan.resumes) == (None, False)


def test_going_on_as_data(world: World) -> None:
    """`resume` is a template like `argv`, and goes with it."""
    grounds = world.grounds(
        '[executors.t]\nargv = ["t", "--as", "{new_session}"]\n'
        'resume = ["t", "--again", "{session}"]\n'
        '[executors.claude]\nargv = ["claude", "-p"]\n'
    )
    agent = replace(AGENT, session=OLD, new_session=NEW)

    plan = plan_spawn(grounds, task=a_task(executor="t"), agent=agent)
    first = plan_spawn(
        grounds, task=a_task(executor="t"), agent=replace(agent, session="")
    )
    other = plan_spawn(grounds, task=a_task(), agent=agent)

    assert plan.argv.value == ("/usr/bin/t", "--again", OLD)
    assert first.argv.value == ("/usr/bin/t", "--as", NEW)
    assert (first.session, first.resumes) == (NEW, False)
    assert other.argv.value == ("/usr/bin/claude", "-p")
    assert not other.resumes


def test_the_native_agent_is_told_of_session_and_permissions(world: World) -> None:
    """Its flags are those of claude; a task's tools are there all the same."""
    grounds = world.grounds(
        '[agents]\npermissions = "readonly"\n[[endpoints]]\nname="a"\nurl="http://a"\n'
    )
    task = a_task(executor="native", tools=("shell",))
    agent = replace(AGENT, new_session=NEW)

    fresh = plan_spawn(grounds, task=task, agent=agent)
    again = plan_spawn(grounds, task=task, agent=replace(agent, session=OLD))

    told = ("--permissions", "readonly", "--allow", "shell")
    assert fresh.argv.value[-6:] == (*told, "--session-id", NEW)
    assert again.argv.value[-6:] == (*told, "--resume", OLD)
    assert fresh.problems == ()


def told(plan: Any) -> str:
    """What a plan tells a client of what it may do, as one text."""
    rules = plan.env.get("OPENCODE_PERMISSION")
    return " ".join(plan.argv.value) + (rules.value if rules else "")


@pytest.mark.parametrize(
    ("executor", "readonly", "edits", "full"),
    [
        (
            "claude",
            "dontAsk --allowedTools Read,Glob,Grep,Bash(wg:*)",
            "dontAsk --allowedTools Bash,Edit,Write,Read,Glob,Grep",
            "--permission-mode bypassPermissions",
        ),
        (
            "codex",
            'filesystem={":root"="read",":tmpdir"="write","/p/.wg"="write"} ',
            '"/tmp"="write","/p"="write","/p/.git"="write"} ',
            "--dangerously-bypass-approvals-and-sandbox",
        ),
        (
            "gemini",
            "--approval-mode default --allowed-tools run_shell_command(wg)",
            "--approval-mode auto_edit --allowed-tools run_shell_command",
            "--approval-mode yolo",
        ),
        (
            "opencode",
            (
                '{"edit":"deny","bash":{"*":"deny","wg":"allow","wg *":"allow"},'
                '"webfetch":"deny"}'
            ),
            '{"webfetch":"deny"}',
            '"allow"',
        ),
    ],
)
def test_postures(
    world: World, executor: str, readonly: str, edits: str, full: str
) -> None:
    """Each word of the setting is told to each client, and is named in the plan."""
    task = a_task(executor=executor)

    for word, expected in (("readonly", readonly), ("edits", edits), ("full", full)):
        grounds = world.grounds(f'agents.permissions = "{word}"')
        plan = plan_spawn(grounds, task=task, agent=AGENT)
        assert expected in told(plan)
        assert words(plan.permissions) == (word, "local [agents].permissions")
        assert plan.problems == ()


def test_postures_are_nothing_to_others(world: World) -> None:
    """A command of data, or an argv of the user's, says for itself what is allowed."""
    grounds = world.grounds('executors.claude.argv = ["claude", "-p", "--mine"]')

    plan = plan_spawn(grounds, task=a_task(), agent=AGENT)
    shell = plan_spawn(grounds, task=a_task(exec="x"), agent=AGENT)

    assert plan.argv.value == ("/usr/bin/claude", "-p", "--mine")
    assert words(plan.permissions) == (None, "none (executor=claude)")
    assert words(shell.permissions) == (None, "none (executor=shell)")


@pytest.mark.parametrize("word", ["readonly", "edits"])
def test_odd_folders_stay_one_string_for_codex(world: World, word: str) -> None:
    """What is given by `-c` is TOML, whatever the path holds."""
    plan = plan_spawn(
        world.grounds(
            f'agents.permissions = "{word}"', host=a_host(wg_dir=f"{ODD}/.wg")
        ),
        task=a_task(executor="codex", working_dir=ODD),
        agent=AGENT,
    )

    given = [a for a in plan.argv.value if a.startswith("permissions.wg.filesystem")]
    entries = tomllib.loads(given[0])["permissions"]["wg"]["filesystem"]
    assert entries[f"{ODD}/.wg"] == "write"
    assert entries[":root"] == "read"
    assert (f"{ODD}/.git" in entries) == (word == "edits")


@pytest.mark.parametrize("executor", ["claude", "gemini", "opencode"])
def test_tools_of_the_task_are_allowed(world: World, executor: str) -> None:
    """By their own names, besides those of the posture."""
    task = a_task(executor=executor, tools=("WebFetch", 'odd"tool'))

    plan = plan_spawn(world.grounds(), task=task, agent=AGENT)

    if executor == "opencode":
        rules = json.loads(plan.env["OPENCODE_PERMISSION"].value)
        assert rules == {"webfetch": "deny", "WebFetch": "allow", 'odd"tool': "allow"}
    else:
        assert 'WebFetch,odd"tool' in plan.argv.value
    assert plan.problems == ()


@pytest.mark.parametrize(
    ("executor", "permissions", "added_by", "problem"),
    [
        ("codex", "edits", None, "can't be allowed one by one by executor codex"),
        ("codex", "full", None, None),
        ("tool", "edits", None, "can't be allowed one by one by executor tool"),
        ("claude", "edits", "agent-3", "allow nothing more: agent-3, an agent"),
        ("claude", "full", "agent-3", None),
    ],
)
def test_tools_that_are_not_allowed_are_named(
    world: World,
    executor: str,
    permissions: str,
    added_by: str | None,
    problem: str | None,
) -> None:
    """What can't be told is a problem of the plan; agents widen nothing."""
    grounds = world.grounds(
        f'agents.permissions = "{permissions}"\nexecutors.tool.argv = ["t"]'
    )
    task = replace(a_task(executor=executor, tools=("X",)), added_by=added_by)

    plan = plan_spawn(grounds, task=task, agent=AGENT)

    assert not any("X" in argument for argument in plan.argv.value)
    if problem is None:
        assert plan.problems == ()
    else:
        assert [problem in said for said in plan.problems] == [True]


@pytest.mark.parametrize(
    ("root", "env", "spec", "refused"),
    [
        (True, {}, {}, True),
        (True, {"IS_SANDBOX": "yes"}, {}, True),
        (True, {"IS_SANDBOX": "1"}, {}, False),
        (True, {}, {"env": {"IS_SANDBOX": "1"}}, False),
        (False, {}, {}, False),
        (True, {}, {"executor": "codex"}, False),
    ],
)
def test_root_may_not_bypass_claudes_permissions(
    world: World,
    root: bool,
    env: dict[str, str],
    spec: dict[str, Any],
    refused: bool,
) -> None:
    """Said before the start, with the remedy; the word for it is the user's alone."""
    host = a_host(is_root=root, env=HOST_ENV | env)
    grounds = world.grounds('agents.permissions = "full"', host=host)

    if not refused:
        plan_spawn(grounds, task=a_task(**spec), agent=AGENT)
        return
    with pytest.raises(PlanError, match="claude refuses permissions full") as caught:
        plan_spawn(grounds, task=a_task(**spec), agent=AGENT)
    preview = plan_spawn(grounds, task=a_task(**spec), preview=True)

    assert "IS_SANDBOX=1" in caught.value.hint
    assert preview.problems == (caught.value.message,)


def test_two_sandboxes_are_not_nested(world: World) -> None:
    """Codex's own is off inside of ours, and what is then not kept is said."""
    machine = Machine(program="/usr/bin/bwrap", installation=("/venv",))
    host = a_host(sandbox_machine=lambda: machine)
    grounds = world.grounds(
        '[sandbox]\nkind = "bwrap"\n[agents]\npermissions = "readonly"\n', host=host
    )

    plan = plan_spawn(grounds, task=a_task(executor="codex"), preview=True)

    assert "--dangerously-bypass-approvals-and-sandbox" in plan.argv.value
    assert not any("default_permissions" in part for part in plan.argv.value)
    assert [
        "readonly (local [agents].permissions) are not kept by codex" in said
        for said in plan.problems
        if "permissions" in said
    ] == [True]


def test_what_a_client_is_quieted_with(world: World) -> None:
    """Fixed variables; what the host or the task says goes before."""
    host = a_host(env=HOST_ENV | {"CLAUDE_CODE_MAX_RETRIES": "9"})
    grounds = world.grounds(host=host)
    task = a_task(env={"DISABLE_TELEMETRY": "0"})

    claude = plan_spawn(grounds, task=task, agent=AGENT).env
    gemini = plan_spawn(grounds, task=a_task(executor="gemini"), agent=AGENT).env

    assert words(claude["DISABLE_AUTOUPDATER"]) == ("1", "executor")
    assert words(claude["CLAUDE_CODE_MAX_RETRIES"]) == ("9", "executor")
    assert words(claude["DISABLE_TELEMETRY"]) == ("0", "task.env")
    assert words(gemini["GEMINI_CLI_NO_RELAUNCH"]) == ("true", "executor")
    assert "DISABLE_AUTOUPDATER" not in gemini
    assert "IS_SANDBOX" not in claude


@pytest.mark.parametrize("metered", [True, False])
def test_what_is_used_is_told_while_it_runs(world: World, metered: bool) -> None:
    """Claude tells of output tokens in time only if asked to."""
    agent = replace(AGENT, metered=metered)

    plan = plan_spawn(world.grounds(), task=a_task(), agent=agent)

    assert ("--include-partial-messages" in plan.argv.value) == metered


@pytest.mark.parametrize(
    ("settings", "env", "ready"),
    [
        ('credentials = ["MOCK_API_KEY"]', {}, False),
        ('credentials = ["MOCK_API_KEY"]', {"MOCK_API_KEY": "k"}, True),
        ("credentials = []", {}, True),
        ("", {"MOCK_API_KEY": "k"}, False),
        ("", {"OPENAI_API_KEY": "dummy"}, True),
    ],
)
def test_other_credentials(
    world: World, settings: str, env: dict[str, str], ready: bool
) -> None:
    """Codex's own configuration may name another key, or none."""
    host = a_host(env={"HOME": "/home/me"} | env)
    grounds = world.grounds(f"[executors.codex]\n{settings}\n", host=host)

    plan = plan_spawn(grounds, task=a_task(executor="codex"), preview=True)

    assert (plan.problems == ()) == ready
    assert ("MOCK_API_KEY" in plan.env) == ("MOCK" in settings and bool(env))


@pytest.mark.parametrize(
    ("spec", "settings", "expected"),
    [
        ({}, "", ("claude", "executor=claude")),
        ({"executor": "codex"}, "", ("codex", "executor=codex")),
        ({"executor": "gemini"}, "", ("gemini", "executor=gemini")),
        (
            {"executor": "opencode", "model": "openrouter/x/y"},
            "",
            ("opencode:openrouter", "executor=opencode"),
        ),
        ({"executor": "opencode"}, "", ("opencode", "executor=opencode")),
        ({"exec": "x"}, "", (None, "none (executor=shell)")),
        (
            {"executor": "t"},
            'executors.t.argv = ["t"]',
            (None, "none (executor=t)"),
        ),
        (
            {"executor": "t"},
            '[executors.t]\nargv = ["t"]\nstream = "claude"\n',
            ("t", "executor=t"),
        ),
        (
            {"executor": "t"},
            '[executors.t]\nargv = ["t"]\naccount = "mine"\n',
            ("mine", "[executors.t].account"),
        ),
        (
            {},
            'executors.claude.account = ""',
            (None, "[executors.claude].account"),
        ),
    ],
)
def test_accounts(
    world: World,
    spec: dict[str, Any],
    settings: str,
    expected: tuple[str | None, str],
) -> None:
    """What a limit of the provider holds for, with its source."""
    plan = plan_spawn(world.grounds(settings), task=a_task(**spec), agent=AGENT)

    assert words(plan.account) == expected
    assert visible(plan)["account"] == {"value": expected[0], "source": expected[1]}


CHAT = replace(AGENT, kept_open=True, new_session="new")


def test_claude_is_kept_open_for_a_chat(world: World) -> None:
    """A new session has the prompt with it; one that goes on knows it."""
    task = a_task(executor="claude", model="sonnet")

    new = plan_spawn(world.grounds(), task=task, agent=CHAT)
    again = plan_spawn(world.grounds(), task=task, agent=replace(CHAT, session="old"))

    talks = ("--input-format", "stream-json", "--replay-user-messages")
    assert new.stdin.value == "pipe"
    assert new.argv.value[4:5] == ("--verbose",)
    assert new.argv.value[-9:] == (
        *talks,
        *("--session-id", "new"),
        *("--append-system-prompt-file", f"{AGENT.folder}/prompt.md"),
        *("--model", "sonnet"),
    )
    assert (new.session, new.resumes) == ("new", False)
    assert again.argv.value[-7:] == (*talks, "--resume", "old", "--model", "sonnet")
    assert (again.session, again.resumes) == ("old", True)


def test_a_command_is_kept_open_for_a_chat(world: World) -> None:
    """It reads from a pipe what it would read from nowhere as a task's."""
    task = a_task(exec="answer --all")

    plan = plan_spawn(world.grounds(), task=task, agent=CHAT)

    assert plan.stdin.value == "pipe"
    assert plan.argv.value[1:] == ("-c", "answer --all")
    assert plan_spawn(world.grounds(), task=task, agent=AGENT).stdin.value != "pipe"


@pytest.mark.parametrize(
    ("settings", "kept_open", "resumes"),
    [
        ("", True, True),
        ('executors.claude.argv = ["claude", "-p"]\n', False, False),
        ("executors.claude.chat = []\n", False, True),
        ("executors.claude.chat_resume = []\n", True, False),
        (
            '[executors.claude]\nargv = ["c"]\nchat = ["c", "{session}"]\n',
            True,
            True,
        ),
    ],
)
def test_settings_say_what_is_kept_open(
    world: World, settings: str, kept_open: bool, resumes: bool
) -> None:
    """What is known of one argv says nothing of another."""
    executor = world.grounds(settings).executors.by_name["claude"]

    assert keeps_open(executor) == kept_open
    assert goes_on(executor, kept_open=kept_open) == resumes
