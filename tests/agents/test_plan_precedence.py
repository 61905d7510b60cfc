"""The whole table of precedence: every set of places where a value may be said.

Each place has a value of its own, in two configurations that differ in everything; what
a plan takes is looked up here by a plain reading of the order in `docs/settings.md`.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.agents.plans import AGENT, World, a_task, an_actor, words
from workgraph.agents.plan import Flags, PlanError, plan_spawn

CONFIGURATIONS = ("one", "two")
PLACES = ("command line", "set", "task", "actor", "local", "global")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """No setting is made yet."""
    return World(tmp_path)


def places() -> list[frozenset[str]]:
    """All sets of places, the empty one too."""
    sizes = range(len(PLACES) + 1)
    return [frozenset(one) for size in sizes for one in combinations(PLACES, size)]


def named(there: frozenset[str]) -> str:
    """What a set of places is called in the name of a test."""
    return "+".join(place for place in PLACES if place in there) or "none"


#: Executors that exist in both configurations; each stands in one place of each.
EXECUTORS = {
    "one": dict(zip(PLACES, ("e1", "e2", "e3", "e4", "e5", "e6"), strict=True)),
    "two": dict(zip(PLACES, ("f1", "f2", "f3", "f4", "f5", "f6"), strict=True)),
}
AS_DATA = "".join(
    f'[executors.{name}]\nargv = ["{name}", "--model", "{{model}}", "--at", '
    '"{endpoint}"]\nneeds_endpoint = true\n'
    for values in EXECUTORS.values()
    for name in values.values()
)
SOURCES = {
    "command line": "command line",
    "set": "command line",
    "task": "task.{}",
    "actor": "actor.{}",
    "local": "local [dispatcher].{}",
    "global": "global [dispatcher].{}",
}
#: What a task says goes before the command line for executors, and after for models.
ORDERS = {
    "executor": ("task", "command line", "set", "actor", "local", "global"),
    "model": ("command line", "set", "task", "actor", "local", "global"),
}


def expected(key: str, values: dict[str, str], there: frozenset[str]) -> Any:
    """The value and its source, by the order; null when nobody says it."""
    for place in ORDERS[key]:
        if place in there:
            return values[place], SOURCES[place].format(key)
    return None


def url(configuration: str, layer: str, name: str) -> str:
    """Where an endpoint is, different for each."""
    return f"http://{configuration}.{layer}.{name}"


def endpoints(configuration: str, layer: str, how: str) -> str:
    """A list of endpoints: none, the only one, or two of which one is the default."""
    names = {"": (), "only": ("x",), "default": ("x", "y*")}[how]
    return "".join(
        f'[[endpoints]]\nname = "{configuration}-{layer}-{name[0]}"\n'
        f'url = "{url(configuration, layer, name[0])}"\n'
        f"default = {str(name.endswith('*')).lower()}\n"
        for name in names
    )


def settings(values: dict[str, str], key: str, layer: str) -> str:
    """A layer of the settings that says one key."""
    return f'dispatcher.{key} = "{values[layer]}"\n'


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("there", places(), ids=named)
def test_executors(world: World, configuration: str, there: frozenset[str]) -> None:
    """Task, command line, actor, local, global, default; a flag may not contradict."""
    values = EXECUTORS[configuration]
    local = settings(values, "executor", "local") if "local" in there else ""
    user = settings(values, "executor", "global") if "global" in there else ""
    grounds = world.grounds(
        local + endpoints("one", "local", "only") + AS_DATA,
        user,
        (f"dispatcher.executor={values['set']}",) if "set" in there else (),
    )

    def plan() -> Any:
        return plan_spawn(
            grounds,
            task=a_task(executor=values["task"] if "task" in there else None),
            actor=an_actor(executor=values["actor"] if "actor" in there else None),
            flags=Flags(
                executor=values["command line"] if "command line" in there else None
            ),
            agent=AGENT,
        )

    if {"task", "command line"} <= there:
        with pytest.raises(PlanError, match="contradicts executor"):
            plan()
        return
    chosen = expected("executor", values, there) or ("claude", "default")
    assert words(plan().executor) == chosen
    assert plan().argv.value[0] == f"/usr/bin/{chosen[0]}"
    assert plan().env["WG_EXECUTOR"].value == chosen[0]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("there", places(), ids=named)
def test_models(world: World, configuration: str, there: frozenset[str]) -> None:
    """Command line, task, actor, local, global, the executor's own."""
    values = {place: f"{configuration}-{place[:3]}" for place in PLACES}
    local = settings(values, "model", "local") if "local" in there else ""
    user = settings(values, "model", "global") if "global" in there else ""
    grounds = world.grounds(
        local, user, (f"dispatcher.model={values['set']}",) if "set" in there else ()
    )

    plan = plan_spawn(
        grounds,
        task=a_task(model=values["task"] if "task" in there else None),
        actor=an_actor(model=values["actor"] if "actor" in there else None),
        flags=Flags(model=values["command line"] if "command line" in there else None),
        agent=AGENT,
    )

    chosen = expected("model", values, there)
    assert words(plan.model) == (chosen or (None, "default"))
    assert ("--model" in plan.argv.value) == (chosen is not None)
    assert plan.env["WG_MODEL"].value == (chosen[0] if chosen else "")
    if chosen:
        assert plan.argv.value[-2:] == ("--model", chosen[0])
    assert words(plan.executor) == ("claude", "default")


HOWS = ("", "only", "default")


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("user", HOWS)
@pytest.mark.parametrize("local", HOWS)
@pytest.mark.parametrize("on_task", [False, True])
@pytest.mark.parametrize("flag", [False, True])
def test_endpoints(  # noqa: PLR0917 - a row of the table
    world: World, flag: bool, on_task: bool, local: str, user: str, configuration: str
) -> None:
    """Command line, task, the one marked default, the only one; local before global."""
    other = CONFIGURATIONS[configuration == "one"]
    grounds = world.grounds(
        endpoints(configuration, "local", local) + AS_DATA,
        endpoints(configuration, "global", user),
    )

    def plan() -> Any:
        return plan_spawn(
            grounds,
            task=a_task(
                executor="e1", endpoint=url(other, "task", "t") if on_task else None
            ),
            flags=Flags(endpoint=url(other, "flag", "f") if flag else None),
            agent=AGENT,
        )

    layer, how = ("local", local) if local else ("global", user)
    if flag or on_task:
        place = "flag" if flag else "task"
        at = url(other, place, place[0])
        name, source = at, "command line" if flag else "task.endpoint"
    elif how:
        last = "y" if how == "default" else "x"
        at = url(configuration, layer, last)
        name = f"{configuration}-{layer}-{last}"
        why = "the default" if how == "default" else "the only one"
        source = f"{layer} [[endpoints]] ({why})"
    else:
        with pytest.raises(PlanError, match="needs an endpoint, and there is none"):
            plan()
        return
    assert words(plan().endpoint) == (name, source)
    assert plan().argv.value == ("/usr/bin/e1", "--at", at)


@pytest.mark.parametrize("executor", ["claude", "codex", "gemini", "opencode", "shell"])
@pytest.mark.parametrize("user", HOWS)
@pytest.mark.parametrize("local", HOWS)
def test_endpoints_that_nobody_needs(
    world: World, local: str, user: str, executor: str
) -> None:
    """They change nothing, wherever they are said."""
    grounds = world.grounds(
        endpoints("one", "local", local), endpoints("one", "global", user)
    )
    spec = {"exec": "true"} if executor == "shell" else {"executor": executor}

    plan = plan_spawn(grounds, task=a_task(**spec), agent=AGENT)

    assert words(plan.endpoint) == (None, f"none (executor={executor})")
    assert plan == plan_spawn(world.grounds(), task=a_task(**spec), agent=AGENT)
