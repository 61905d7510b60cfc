from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.agents.plans import (
    AGENT,
    HOST_ENV,
    World,
    a_host,
    a_task,
    an_actor,
    words,
)
from workgraph.agents.plan import PlanError, SpawnPlan, plan_spawn
from workgraph.agents.planned import visible


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No setting is made yet."""
    return World(tmp_path)


@pytest.mark.parametrize(
    ("host", "spec", "words"),
    [
        ({"has_executable": lambda _n, _p: None}, {}, "claude.*is not there"),
        ({"is_dir": lambda _p: False}, {}, "/p .default. is no folder"),
        ({"is_dir": lambda p: p != "/x"}, {"working_dir": "/x"}, "task.working_dir"),
        ({"env": {"HOME": "/h"}}, {}, "CLAUDE_CODE_OAUTH_TOKEN or .* or /h/.claude/"),
        ({"env": {"ANTHROPIC_API_KEY": ""}}, {}, "no credentials"),
    ],
)
def test_what_the_host_lacks(
    world: World, host: dict[str, Any], spec: dict[str, Any], words: str
) -> None:
    """Refused at a start without using an attempt, listed in a preview: rule 38."""
    grounds = world.grounds(host=a_host(**host))

    with pytest.raises(PlanError, match=words) as caught:
        plan_spawn(grounds, task=a_task(**spec), agent=AGENT)
    plan = plan_spawn(grounds, task=a_task(**spec), preview=True)

    assert caught.value.code == "misconfigured"
    assert caught.value.hint
    assert plan.problems == (caught.value.message,)
    assert plan.executor.value == "claude"


def test_an_extra_that_is_not_installed(world: World) -> None:
    """The plan names what to install; the task goes on when it is there."""
    settings = '[[endpoints]]\nname="a"\nurl="http://a"\n'
    asked: list[str] = []
    host = a_host(has_module=asked.append)
    grounds = world.grounds(settings, host=host)

    with pytest.raises(PlanError, match="needs pydantic_ai: pip install") as caught:
        plan_spawn(grounds, task=a_task(executor="native"), agent=AGENT)

    assert caught.value.message.endswith("'workgraph-orchestrator[native]'")
    assert asked == ["pydantic_ai"]
    (awaited,) = caught.value.awaits
    assert awaited.is_there(a_host())
    assert not awaited.is_there(a_host(has_module=lambda _name: False))


def test_another_program_needs_no_extra(world: World) -> None:
    """It may be anything that goes by the name."""
    settings = (
        '[[endpoints]]\nname="a"\nurl="http://a"\n'
        '[executors.native]\nargv = ["/opt/native", "{endpoint}"]\n'
    )
    host = a_host(has_module=lambda _name: False)

    plan = plan_spawn(
        world.grounds(settings, host=host), task=a_task(executor="native")
    )

    assert plan.argv.value == ("/opt/native", "http://a")


def test_the_native_agent_gets_the_name_of_the_key(world: World) -> None:
    """Not the key, which everybody could read there."""
    settings = '[[endpoints]]\nname="a"\nurl="http://a"\napi_key_env="OTHER_TOKEN"\n'

    plan = plan_spawn(world.grounds(settings), task=a_task(executor="native"))

    argv = plan.argv.value
    assert argv[-6:-4] == ("--api-key-env", "OTHER_TOKEN")
    assert "t" not in argv


@pytest.mark.parametrize(
    ("executor", "env", "file"),
    [
        ("claude", {"CLAUDE_CODE_OAUTH_TOKEN": "x"}, None),
        ("claude", {}, "/home/me/.claude/.credentials.json"),
        ("claude", {"HOME": "/h"}, "/h/.claude/.credentials.json"),
        ("claude", {"CLAUDE_CONFIG_DIR": "/c"}, "/c/.credentials.json"),
        ("codex", {"OPENAI_API_KEY": "x"}, None),
        ("codex", {"CODEX_HOME": "/c"}, "/c/auth.json"),
        ("codex", {}, "/home/me/.codex/auth.json"),
        ("opencode", {}, None),
    ],
)
def test_one_alternative_of_the_credentials_is_enough(
    world: World, executor: str, env: Mapping[str, str], file: str | None
) -> None:
    """A variable that the agent gets, or a login file."""
    host = a_host(env=env, exists=lambda path: path == file)

    plan = plan_spawn(world.grounds(host=host), task=a_task(executor=executor))

    assert plan.problems == ()


def test_an_endpoints_key_is_passed_on_or_missed(world: World) -> None:
    """The variable that an endpoint names is a credential."""
    settings = '[[endpoints]]\nname="a"\nurl="http://a"\napi_key_env="OTHER_TOKEN"\n'
    task = a_task(executor="native")

    plan = plan_spawn(world.grounds(settings), task=task)
    assert words(plan.env["OTHER_TOKEN"]) == ("t", "endpoint a")

    with pytest.raises(PlanError, match="endpoint a wants OTHER_TOKEN"):
        plan_spawn(world.grounds(settings, host=a_host(env={})), task=task)


def test_the_whole_environment_of_a_shell_task(world: World) -> None:
    """The allow-list, the task's, ours; nothing else, each with its source."""
    grounds = world.grounds('[env]\npass = ["OTHER_*", "NOT_THERE"]\n')
    task = a_task(exec="make", env={"MODE": "x y"}, working_dir="sub/../dir")

    plan = plan_spawn(grounds, task=task, actor=an_actor(), agent=AGENT)

    assert {name: words(chosen) for name, chosen in plan.env.items()} == {
        "PATH": ("/p/.wg/bin:/usr/bin:/bin", "host"),
        "HOME": ("/home/me", "host"),
        "USER": ("me", "host"),
        "LC_ALL": ("C.UTF-8", "host"),
        "OTHER_TOKEN": ("t", "[env].pass"),
        "MODE": ("x y", "task.env"),
        "TMPDIR": ("/p/.wg/agents/17/tmp", "workgraph"),
        "WG_DIR": ("/p/.wg", "workgraph"),
        "WG_SOCKET": ("/p/.wg/wgd.sock", "workgraph"),
        "WG_TASK_ID": ("t", "workgraph"),
        "WG_AGENT_ID": ("agent-17", "workgraph"),
        "WG_ATTEMPT": ("3", "workgraph"),
        "WG_ACTOR": ("ann", "workgraph"),
        "WG_EXECUTOR": ("shell", "workgraph"),
        "WG_MODEL": ("", "workgraph"),
        "WG_TOKEN": ("tok", "workgraph"),
        "WG_PROMPT_FILE": ("/p/.wg/agents/17/prompt.md", "workgraph"),
        "WG_WORKSPACE": ("/p/dir", "workgraph"),
        "WG_BRANCH": ("", "workgraph"),
    }
    assert words(plan.argv) == (("/bin/sh", "-c", "make"), "task.exec")
    assert words(plan.stdin) == ("/dev/null", "task.exec")
    assert words(plan.model) == (None, "none (executor=shell)")
    assert words(plan.working_dir) == ("/p/dir", "task.working_dir")
    assert plan.stream.value == "text"


def test_the_environment_has_what_the_executor_names(world: World) -> None:
    """Claude gets its key, and nobody else's."""
    plan = plan_spawn(world.grounds(), task=a_task())

    assert words(plan.env["ANTHROPIC_API_KEY"]) == ("sk-1", "executor")
    assert "CODEX_API_KEY" not in plan.env
    assert "EDITOR" not in plan.env
    assert words(plan.stdin) == ("prompt", "executor claude")
    assert plan.stream.value != "text"


def test_even_pass_all_brings_no_foreign_wg_variables(world: World) -> None:
    """WG_* of the host would speak of another attempt; odd names are dropped."""
    plan = plan_spawn(world.grounds('env.pass = ["*"]'), task=a_task(exec="x"))

    assert words(plan.env["EDITOR"]) == ("vi", "[env].pass")
    assert words(plan.env["WG_TASK_ID"]) == ("t", "workgraph")
    assert {"BAD-NAME", "WG_OTHER"}.isdisjoint(plan.env)


def test_a_tasks_path_keeps_wg_first(world: World) -> None:
    """And the program is looked for there, as the process would."""
    looked: list[tuple[str, str]] = []

    def has_executable(name: str, path: str) -> str | None:
        looked.append((name, path))
        return f"bin/{name}"

    plan = plan_spawn(
        world.grounds(host=a_host(has_executable=has_executable)),
        task=a_task(env={"PATH": "/opt:bin"}),
    )

    assert words(plan.env["PATH"]) == ("/p/.wg/bin:/opt:bin", "task.env")
    assert looked == [("claude", "/p/.wg/bin:/opt:bin")]
    assert plan.argv.value[0] == "/p/bin/claude"


def test_a_host_without_a_path_gets_a_plain_one(world: World) -> None:
    """An empty environment is a valid one."""
    plan = plan_spawn(world.grounds(host=a_host(env={})), task=a_task(exec="x"))

    assert words(plan.env["PATH"]) == (
        "/p/.wg/bin:/usr/local/bin:/usr/bin:/bin",
        "default",
    )


@pytest.mark.parametrize(
    ("spec", "local", "overrides", "expected"),
    [
        ({"timeout_s": 5.0}, "", (), (5.0, "task.timeout_s")),
        ({}, "agents.timeout = '3s'", (), (3.0, "local [agents].timeout")),
        ({}, "", ("agents.timeout=4s",), (4.0, "command line")),
        ({}, "", (), (7200.0, "default")),
    ],
)
def test_timeout(
    world: World,
    spec: dict[str, Any],
    local: str,
    overrides: tuple[str, ...],
    expected: tuple[float, str],
) -> None:
    """The task's, else the settings'."""
    plan = plan_spawn(world.grounds(local, "", overrides), task=a_task(**spec))

    assert words(plan.timeout_s) == expected


def test_an_executor_as_data(world: World) -> None:
    """Argv from the template, its source the file; empty placeholders go."""
    grounds = world.grounds(
        '[executors.tool]\nargv = ["./tool", "--model", "{model}", "--call-it", '
        '"{new_session}", "@{prompt_file}"]\nprompt = "file"\nenv = ["OTHER_*"]\n'
    )
    task = a_task(executor="tool")

    started = plan_spawn(grounds, task=task, agent=AGENT)
    before = plan_spawn(grounds, task=task)

    assert words(started.argv) == (
        ("/p/./tool", "@/p/.wg/agents/17/prompt.md"),
        "local [executors.tool].argv",
    )
    assert before.argv.value[1:3] == ("--call-it", "<session>")
    assert words(started.stdin) == ("/dev/null", "local [executors.tool].prompt")
    assert words(started.env["OTHER_TOKEN"]) == ("t", "executor")


def test_an_executor_that_takes_the_prompt_as_an_argument(world: World) -> None:
    """It is the last argument unless the template says where."""
    grounds = world.grounds('[executors.t]\nargv = ["t"]\nprompt = "argument"\n')
    agent = msgspec.structs.replace(AGENT, prompt="say {model} $HOME")

    plan = plan_spawn(grounds, task=a_task(executor="t"), agent=agent)

    assert plan.argv.value == ("/usr/bin/t", "say {model} $HOME")
    assert plan.stdin.value == "/dev/null"


def test_an_executor_that_could_not_be_loaded_says_why(world: World) -> None:
    """The hint is the problem that was met when loading it."""
    with pytest.raises(PlanError) as caught:
        plan_spawn(
            world.grounds("[executors.t]\nprompt = 'file'"), task=a_task(executor="t")
        )

    assert "has no argv" in caught.value.hint


def test_the_plan_as_it_is_shown(world: World) -> None:
    """The shape of CONTRACT §3.4, whole, with secrets masked: rule 47."""
    env = HOST_ENV | {
        "DB_PASSWORD": "p",
        "A_SECRET": "s",
        "X_CREDENTIALS": "c",
        "Y": "",
    }
    env |= {"HTTP_PROXY": "http://u:pw@proxy:8"}
    grounds = world.grounds('env.pass = ["*"]', host=a_host(env=env))
    task = a_task(exec="curl http://me:pw@host/")

    plan = plan_spawn(grounds, task=task, agent=AGENT)
    shown = visible(plan)

    assert list(shown) == [
        "task",
        "executor",
        "model",
        "endpoint",
        "working_dir",
        "account",
        "permissions",
        "argv",
        "env",
        "stdin",
        "stream",
        "timeout_s",
        "sandbox",
        "network",
        "problems",
    ]
    assert shown["executor"] == {"value": "shell", "source": "task.exec"}
    assert shown["argv"]["value"] == ["/bin/sh", "-c", "curl http://***@host/"]
    for name in (
        "WG_TOKEN",
        "ANTHROPIC_API_KEY",
        "DB_PASSWORD",
        "A_SECRET",
        "X_CREDENTIALS",
    ):
        assert shown["env"][name]["value"] == "***"
    assert shown["env"]["HTTP_PROXY"]["value"] == "http://***@proxy:8"
    assert shown["env"]["USER"] == {"value": "me", "source": "host"}
    text = msgspec.json.encode(shown).decode()
    for secret in ('"tok"', "sk-1", ":pw@", '"s"', '"p"', '"c"'):
        assert secret not in text


def test_before_the_claim_placeholders_are_shown(world: World) -> None:
    """What is not known yet shows as such."""
    shown = visible(plan_spawn(world.grounds(), task=a_task(), preview=True))

    assert shown["env"]["WG_AGENT_ID"]["value"] == "<agent>"
    assert shown["env"]["WG_TOKEN"]["value"] == "***"
    assert shown["env"]["WG_PROMPT_FILE"]["value"] == "/p/.wg/agents/<agent>/prompt.md"


def test_the_plan_is_the_same_for_the_same_input(world: World) -> None:
    """Pure: nothing but the arguments counts, and they are left alone."""
    grounds = world.grounds()
    task = a_task(env={"A": "1"})

    def plan() -> SpawnPlan:
        return plan_spawn(grounds, task=task, agent=AGENT)

    assert plan() == plan()
    assert "A" not in grounds.env["claude"]
