from pathlib import Path
from typing import Any

import pytest

from tests.agents.plans import AGENT, OPENROUTER, World, a_task, an_actor, words
from workgraph.agents.plan import Flags, PlanError, plan_spawn
from workgraph.agents.planned import log_line


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No setting is made yet."""
    return World(tmp_path)


# Each row says where the value is set; the first of them holds.
EXECUTOR_ROWS = [
    ("task.exec", "shell", "task.exec"),
    ("task", "codex", "task.executor"),
    ("flag", "gemini", "command line"),
    ("set", "opencode", "command line"),
    ("actor", "claude", "actor.executor"),
    ("local", "codex", "local [dispatcher].executor"),
    ("global", "gemini", "global [dispatcher].executor"),
    ("default", "claude", "default"),
]


@pytest.mark.parametrize("first", range(len(EXECUTOR_ROWS)))
def test_executor_precedence(world: World, first: int) -> None:
    """task.exec, task, command line, actor, local, global, default: rules 32, 35."""
    there = dict(row[:2] for row in EXECUTOR_ROWS[first:])
    spec: dict[str, Any] = {}
    if "task.exec" in there:
        spec["exec"] = "true"
    elif "task" in there:
        spec["executor"] = there["task"]
    flag = there.get("flag") if "task" not in there else None
    grounds = world.grounds(
        local=f'dispatcher.executor = "{there["local"]}"' if "local" in there else "",
        user=f'dispatcher.executor = "{there["global"]}"' if "global" in there else "",
        overrides=("dispatcher.executor=opencode",) if "set" in there else (),
    )

    plan = plan_spawn(
        grounds,
        task=a_task(**spec),
        actor=an_actor(executor=there.get("actor")),
        flags=Flags(executor=flag),
    )

    assert words(plan.executor) == EXECUTOR_ROWS[first][1:]


MODEL_ROWS = [
    ("flag", "command line"),
    ("set", "command line"),
    ("task", "task.model"),
    ("actor", "actor.model"),
    ("local", "local [dispatcher].model"),
    ("global", "global [dispatcher].model"),
]


@pytest.mark.parametrize("first", range(len(MODEL_ROWS) + 1))
def test_model_precedence(world: World, first: int) -> None:
    """Command line, task, actor, local, global, the executor's own."""
    there = {name for name, _ in MODEL_ROWS[first:]}

    def said(name: str) -> str | None:
        return f"{name}-model" if name in there else None

    grounds = world.grounds(
        local='dispatcher.model = "local-model"' if "local" in there else "",
        user='dispatcher.model = "global-model"' if "global" in there else "",
        overrides=("dispatcher.model=set-model",) if "set" in there else (),
    )

    plan = plan_spawn(
        grounds,
        task=a_task(model=said("task")),
        actor=an_actor(model=said("actor")),
        flags=Flags(model=said("flag")),
    )

    if first == len(MODEL_ROWS):
        assert words(plan.model) == (None, "default")
        assert "--model" not in plan.argv.value
        assert plan.env["WG_MODEL"].value == ""
        return
    name, source = MODEL_ROWS[first]
    assert words(plan.model) == (f"{name}-model", source)
    assert plan.argv.value[-2:] == ("--model", f"{name}-model")
    assert plan.env["WG_MODEL"].value == f"{name}-model"


def test_an_empty_local_model_goes_before_the_global_one(world: World) -> None:
    """Empty means the executor's own, and the file that says so is named."""
    grounds = world.grounds('dispatcher.model = ""', 'dispatcher.model = "opus"')

    plan = plan_spawn(grounds, task=a_task())

    assert words(plan.model) == (None, "local [dispatcher].model")


def endpoint(name: str, *, default: bool = False) -> str:
    """An endpoint as TOML has it."""
    url = f'url = "http://{name}"'
    return f'[[endpoints]]\nname = "{name}"\n{url}\ndefault = {str(default).lower()}\n'


@pytest.mark.parametrize(
    ("local", "user", "asked", "expected", "url"),
    [
        ("a,b*", "", ("b", "a"), ("b", "command line"), "http://b"),
        ("a,b*", "", (None, "a"), ("a", "task.endpoint"), "http://a"),
        ("a,b*", "", (None, "http://a"), ("http://a", "task.endpoint"), "http://a"),
        ("", "", (None, "https://x"), ("https://x", "task.endpoint"), "https://x"),
        ("a,b*", "", (), ("b", "local [[endpoints]] (the default)"), "http://b"),
        ("", "a,b*", (), ("b", "global [[endpoints]] (the default)"), "http://b"),
        ("a", "", (), ("a", "local [[endpoints]] (the only one)"), "http://a"),
    ],
)
def test_endpoint_precedence(  # noqa: PLR0917 - a row of the table above
    world: World,
    local: str,
    user: str,
    asked: tuple[str | None, ...],
    expected: tuple[str, str],
    url: str,
) -> None:
    """Command line, task, the single default, the only one: rule 34."""
    flag, on_task = asked or (None, None)

    def toml(names: str) -> str:
        return "".join(
            endpoint(name.rstrip("*"), default=name.endswith("*"))
            for name in names.split(",")
            if name
        )

    plan = plan_spawn(
        world.grounds(toml(local), toml(user)),
        task=a_task(executor="native", endpoint=on_task),
        flags=Flags(endpoint=flag),
    )

    assert words(plan.endpoint) == expected
    assert plan.argv.value == (
        "/venv/bin/python",
        "-P",
        "-m",
        "workgraph.native",
        "--endpoint",
        url,
        "--permissions",
        "edits",
        "--session-id",
        "<session>",
    )


@pytest.mark.parametrize(
    ("settings", "task", "words"),
    [
        ("", None, "there is none"),
        (endpoint("a") + endpoint("b"), None, "any of a, b"),
        (
            endpoint("a", default=True) + endpoint("b", default=True),
            None,
            "several are marked default: a, b",
        ),
        (endpoint("abc"), "abd", "there is no endpoint abd"),
    ],
)
def test_an_endpoint_that_is_not_clear_is_refused(
    world: World, settings: str, task: str | None, words: str
) -> None:
    """Native without one endpoint that is meant is misconfigured, in a preview too."""
    with pytest.raises(PlanError, match=words) as caught:
        plan_spawn(
            world.grounds(settings),
            task=a_task(executor="native", endpoint=task),
            preview=True,
        )

    assert caught.value.code == "misconfigured"
    assert caught.value.hint


@pytest.mark.parametrize("executor", ["claude", "codex", "gemini", "opencode", "shell"])
def test_a_default_endpoint_changes_nothing_for_others(
    world: World, executor: str
) -> None:
    """Only executors that need one get an endpoint; one on the task is a problem."""
    spec = {"exec": "true"} if executor == "shell" else {"executor": executor}

    plain = plan_spawn(world.grounds(user=OPENROUTER), task=a_task(**spec))
    named = plan_spawn(
        world.grounds(user=OPENROUTER), task=a_task(endpoint="x", **spec)
    )

    assert words(plain.endpoint) == (None, f"none (executor={executor})")
    assert plain.problems == ()
    assert words(named.endpoint) == (None, f"none (executor={executor})")
    assert named.problems == (
        f"t: endpoint x (task.endpoint) is not used by executor {executor}",
    )


def test_the_case_that_went_wrong_in_the_forerunner(world: World) -> None:
    """A default endpoint, a global native and a local claude give claude: rule 33."""
    grounds = world.grounds(
        local='[dispatcher]\nexecutor = "claude"\n',
        user=f'[dispatcher]\nexecutor = "native"\n{OPENROUTER}',
    )

    plan = plan_spawn(grounds, task=a_task(model="opus"), agent=AGENT)

    assert log_line(plan, "agent-17") == (
        "agent-17 executor=claude (local [dispatcher].executor) "
        "model=opus (task.model) endpoint=none (executor=claude)"
    )


@pytest.mark.parametrize(
    ("executor", "model", "refused"),
    [
        ("claude", "openrouter:deepseek/x", "openrouter"),
        ("claude", "openai/gpt-5", "openai"),
        ("claude", "Ollama:llama", "ollama"),
        ("claude", "vllm/x", "vllm"),
        ("codex", "anthropic/claude", "anthropic"),
        ("gemini", "openai:gpt", "openai"),
        ("claude", "opus", None),
        ("claude", "claude:opus", None),
        ("claude", "anthropic/opus", None),
        ("claude", "arn:aws:bedrock/x", None),
        ("claude", "gemini", None),
        ("codex", "openai/gpt-5", None),
        ("opencode", "openrouter/x", None),
    ],
)
def test_a_model_never_changes_the_executor(
    world: World, executor: str, model: str, refused: str | None
) -> None:
    """A foreign provider's model is refused; all else is passed on: rule 33."""
    grounds = world.grounds(f'dispatcher.executor = "{executor}"')
    task = a_task(model=model)

    if refused is None:
        plan = plan_spawn(grounds, task=task)
        assert plan.executor.value == executor
        assert model in plan.argv.value
        return
    with pytest.raises(PlanError) as caught:
        plan_spawn(grounds, task=task, preview=True)

    assert caught.value.message == (
        f"t: model {model} (task.model) does not go with executor {executor} "
        f"(local [dispatcher].executor): {refused} is not a provider that {executor} "
        "can run models of"
    )
    assert "task.model" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "flags", "words"),
    [
        ({"exec": "x"}, {"executor": "claude"}, r"claude \(command line\).*task.exec"),
        ({"executor": "codex"}, {"executor": "claude"}, "contradicts executor codex"),
        ({"exec": "x", "executor": "codex"}, {}, "it has a command, which shell runs"),
        ({"executor": "shell"}, {}, "the task has none"),
        ({"executor": "cloude"}, {}, r"no executor cloude \(task.executor\)"),
        ({"env": {"A-B": "x"}}, {}, "'A-B'"),
        ({"env": {"A\n": "x"}}, {}, "can't be a variable's name"),
        ({"env": {"WG_TOKEN": "x"}}, {}, "WG_TOKEN"),
        ({"env": {"A": "\0"}}, {}, "NUL"),
        ({"exec": "\0"}, {}, "NUL"),
    ],
)
def test_refusals(
    world: World, spec: dict[str, Any], flags: dict[str, str], words: str
) -> None:
    """What can't be planned is misconfigured, with a remedy, in a preview too."""
    with pytest.raises(PlanError, match=words) as caught:
        plan_spawn(
            world.grounds(), task=a_task(**spec), flags=Flags(**flags), preview=True
        )

    assert caught.value.code == "misconfigured"
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_flag_that_agrees_with_the_task_is_fine(world: World) -> None:
    """The task's own say is the source."""
    plan = plan_spawn(
        world.grounds(), task=a_task(exec="true"), flags=Flags(executor="shell")
    )

    assert words(plan.executor) == ("shell", "task.exec")
