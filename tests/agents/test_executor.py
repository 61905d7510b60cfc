from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph.agents.builtin import BUILTINS, CLAUDE
from workgraph.agents.executor import (
    PROVIDERS,
    Executor,
    Job,
    TemplateExecutor,
    fill_template,
    load_executors,
    provider_of,
)
from workgraph.settings import ExecutorSettings, Settings

PLUGIN = TemplateExecutor(name="plug", argv=("plug", "{model}"), env=("PLUG_*",))


def a_plugin() -> TemplateExecutor:
    """What an entry point may name."""
    return PLUGIN


def a_broken_plugin() -> TemplateExecutor:
    """What an entry point should not name."""
    message = "boom"
    raise RuntimeError(message)


def a_job(**values: Any) -> Job:
    """A job with boring values."""
    return Job(
        **({"task": "t", "agent": "a", "workspace": "/w", "prompt_file": "/f"} | values)
    )


def entry(name: str, value: str) -> EntryPoint:
    """An entry point of this module."""
    return EntryPoint(name, f"{__name__}:{value}", "workgraph.executors")


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        (("x", "--model", "{model}"), {"model": "m"}, ("x", "--model", "m")),
        (("x", "--model", "{model}", "y"), {}, ("x", "y")),
        (("x", "-v", "--model={model}"), {}, ("x", "-v")),
        (("x", "--a=b", "{model}"), {}, ("x", "--a=b")),
        (("x", "run", "{model}"), {}, ("x", "run")),
        (("x", "-m", "{model}", "{session}"), {}, ("x",)),
        (("x", "-m", "{model}", "{session}"), {"model": "m"}, ("x", "-m", "m")),
        (("x", "{task}/{agent}"), {}, ("x", "t/a")),
        (("x", "-p", "{task}:{session}"), {}, ("x",)),
        (("{workspace}/x", "{print}", "{}"), {}, ("/w/x", "{print}", "{}")),
        (("x", "{model}"), {"model": "{task} $(id)"}, ("x", "{task} $(id)")),
        (("x", "{prompt}"), {"prompt": "a\nb 'c' \\"}, ("x", "a\nb 'c' \\")),
    ],
)
def test_templates(
    template: tuple[str, ...], values: dict[str, str], expected: tuple[str, ...]
) -> None:
    """One argument each, one pass, an empty one goes with its flag: rules 47, 48."""
    assert fill_template(template, a_job(**values)) == expected


TEXT = st.text(max_size=12) | st.sampled_from(
    ["{task}", "{prompt}", "$(x)", "-x", "a b"]
)
PART = st.tuples(
    st.text(alphabet="ab=-/ $'", max_size=3),
    st.sampled_from(["model", "prompt", "session", "endpoint", None]),
)


@given(
    parts=st.lists(PART, max_size=8),
    values=st.fixed_dictionaries(
        dict.fromkeys(("model", "prompt", "session", "endpoint"), TEXT)
    ),
)
def test_filling_keeps_arguments_apart(
    parts: list[tuple[str, str | None]], values: dict[str, str]
) -> None:
    """The result is what a plain reading of the rule gives, whatever they hold."""
    template = tuple(text + (f"{{{name}}}" if name else "") for text, name in parts)
    expected: list[str | None] = []
    for index, (text, name) in enumerate(parts):
        if name is None or values[name]:
            expected.append(text + (values[name] if name else ""))
            continue
        expected.append(None)
        before = parts[index - 1][0] if index else ""
        is_flag = before.startswith("-") and "=" not in before
        if is_flag and not text.startswith("-"):
            expected[index - 1] = None

    filled = fill_template(template, a_job(**values))

    assert filled == tuple(argument for argument in expected if argument is not None)


def test_builtins_are_there_and_are_executors() -> None:
    """Six of them, each of the protocol, with an argv that begins with its program."""
    loaded = load_executors(Settings(), BUILTINS, ())

    assert list(loaded.by_name) == [
        "shell",
        "claude",
        "codex",
        "gemini",
        "opencode",
        "native",
    ]
    assert loaded.problems == {}
    for executor in loaded.by_name.values():
        assert isinstance(executor, Executor)
    assert CLAUDE.command(a_job())[:2] == ("claude", "-p")
    assert loaded.by_name["codex"].command(a_job(model="m"))[-3:] == ("-m", "m", "-")
    assert loaded.by_name["codex"].command(a_job())[-1] == "-"


@pytest.mark.parametrize("value", ["PLUGIN", "a_plugin"])
def test_plugins_are_loaded(value: str) -> None:
    """An executor, or something that gives one."""
    loaded = load_executors(Settings(), BUILTINS, [entry("plug", value)])

    assert loaded.by_name["plug"] is PLUGIN
    assert loaded.problems == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a_broken_plugin", "boom"),
        ("not_there", "not_there"),
        ("entry", "can't be loaded"),
        ("CLAUDE", "there is one of that name"),
        ("str", "can't be loaded"),
    ],
)
def test_a_plugin_that_fails_is_named_and_harms_nobody(value: str, words: str) -> None:
    """The rest is there."""
    loaded = load_executors(Settings(), BUILTINS, [entry("plug", value)])

    assert words in loaded.problems["plug"]
    assert set(loaded.by_name) == {executor.name for executor in BUILTINS}


def test_settings_change_a_builtin_in_part() -> None:
    """What is not named stays."""
    settings = Settings(
        executors={"claude": ExecutorSettings(env=("X",), preamble="be brief")}
    )

    claude = load_executors(settings, BUILTINS, ()).by_name["claude"]

    assert claude.env == ("X",)
    assert claude.preamble == "be brief"
    assert claude.command(a_job()) == CLAUDE.command(a_job())
    assert claude.credentials == CLAUDE.credentials


@pytest.mark.parametrize(
    ("program", "keeps"), [("/opt/claude", True), ("./stand-in", False)]
)
def test_credentials_go_with_the_program(program: str, keeps: bool) -> None:
    """Another program in claude's place does not need claude's login."""
    settings = Settings(executors={"claude": ExecutorSettings(argv=(program,))})

    claude = load_executors(settings, BUILTINS, ()).by_name["claude"]

    assert claude.command(a_job()) == (program,)
    assert (claude.credentials is not None) == keeps
    assert claude.accepts("openrouter:x")


def test_a_plugin_can_get_another_argv_only() -> None:
    """Its argv is code; settings can replace it whole."""
    plugins = [entry("plug", "PLUGIN")]
    settings = Settings(
        executors={"plug": ExecutorSettings(argv=("p",), prompt="file")}
    )

    plug = load_executors(settings, BUILTINS, plugins).by_name["plug"]

    assert plug.command(a_job()) == ("p",)
    assert plug.env == ("PLUG_*",)


@pytest.mark.parametrize(
    ("given_settings", "words", "usable"),
    [
        (ExecutorSettings(prompt="file"), "has no argv", False),
        (ExecutorSettings(argv=()), "is empty", False),
        (ExecutorSettings(argv=("x", "{promt_file}")), "{prompt_file} is one", True),
    ],
)
def test_executors_as_data_that_are_wrong(
    given_settings: ExecutorSettings, words: str, usable: bool
) -> None:
    """Each is named with what is wrong."""
    loaded = load_executors(Settings(executors={"tool": given_settings}), BUILTINS, ())

    assert words in loaded.problems["tool"]
    assert ("tool" in loaded.by_name) == usable


def test_providers() -> None:
    """Only what stands before the first separator, and only known ones."""
    assert provider_of("openrouter:anthropic/x") == "openrouter"
    assert provider_of("OpenAI/gpt") == "openai"
    assert provider_of("opus") is None
    assert provider_of("openai") is None
    assert provider_of("my/openai") is None
    assert {"openrouter", "openai", "gemini", "ollama", "vllm"} <= PROVIDERS
