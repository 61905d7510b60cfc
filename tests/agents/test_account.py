"""Accounts: dispatch knows what a plan would say of them."""

from pathlib import Path
from typing import Any

import pytest

from tests.agents.plans import AGENT, OPENROUTER, World, a_task
from workgraph.agents.choices import account_of
from workgraph.agents.plan import plan_spawn

TALKS = """
[executors.bot]
argv = ["bot"]
stream = "claude"
[executors.mine]
argv = ["mine"]
account = "work"
[executors.mute]
argv = ["mute"]
"""


@pytest.mark.parametrize(
    ("spec", "account"),
    [
        ({"exec": "true"}, None),
        ({"executor": "claude"}, "claude"),
        ({"executor": "codex"}, "codex"),
        ({"executor": "opencode"}, "opencode"),
        ({"executor": "opencode", "model": "groq/llama"}, "opencode:groq"),
        ({"executor": "bot"}, "bot"),
        ({"executor": "mine"}, "work"),
        ({"executor": "mute"}, None),
        ({"executor": "native", "model": "m"}, "native:openrouter"),
    ],
)
def test_it_is_what_the_plan_says(
    tmp_path: Path, spec: dict[str, Any], account: str | None
) -> None:
    """The same function decides."""
    grounds = World(tmp_path).grounds(TALKS + OPENROUTER)
    task = a_task(**spec)

    assert account_of(grounds, task, None) == account
    assert plan_spawn(grounds, task=task, agent=AGENT).account.value == account


@pytest.mark.parametrize(
    "spec",
    [
        {"executor": "nobody"},
        {"executor": "claude", "exec": "true"},
        {"executor": "native", "endpoint": "nowhere"},
    ],
)
def test_what_has_no_plan_has_no_account(tmp_path: Path, spec: dict[str, Any]) -> None:
    """Nothing holds it: it is parked for what is wrong with it."""
    grounds = World(tmp_path).grounds(TALKS + OPENROUTER)

    assert account_of(grounds, a_task(**spec), None) is None
