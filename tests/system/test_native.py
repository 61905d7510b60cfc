"""The native agent in a graph: real wgd, real wg, a mock in the model's place."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.mock_model_api import MockModelAPI
from tests.system.project import Project, a_project, wait_for
from tests.system.test_chat_handlers import send, wait_answer

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(400)]

KEY = "key-0815-of-the-endpoint"
SETTINGS = """
[dispatcher]
executor = "native"
max_agents = 2
[agents]
kill_grace = "40s" # to say a last word after `wg done`

[[endpoints]]
name = "mock"
url = "{url}/v1"
api_key_env = "MOCK_KEY"
"""


@pytest.fixture
def mock() -> Iterator[MockModelAPI]:
    """A model that does what stands in the prompt."""
    with MockModelAPI("text", require_key=KEY) as mock:
        yield mock


@pytest.fixture
def project(tmp_path: Path, mock: MockModelAPI) -> Iterator[Project]:
    """A project whose agents ask it."""
    with a_project(tmp_path / "project", {"MOCK_KEY": KEY}) as project:
        settings = project.folder / ".wg/config.toml"
        settings.write_text(SETTINGS.format(url=mock.url))
        yield project


def script(*steps: dict[str, Any]) -> str:
    """What an agent is to do, as the mock reads it in a prompt."""
    lines = "\n".join(json.dumps(step) for step in steps)
    return f"```mock\n{lines}\n```"


def wg(*arguments: str) -> dict[str, Any]:
    """A step in which the model calls the tool `wg`."""
    return {
        "tool": "wg",
        "args": {"arguments": arguments},
        "usage": {"input": 1000, "cached": 400, "output": 50},
    }


def test_three_tasks_are_worked_off(project: Project, mock: MockModelAPI) -> None:
    """They log, hand over and finish by themselves; what was served is counted."""
    for name, after in (("a", []), ("b", []), ("c", ["--after", "a", "--after", "b"])):
        steps = script(
            wg("log", name, f"{name} begins"),
            {"shell": f"wg show {name} > {name}.txt"},
            wg("artifact", name, f"{name}.txt"),
            wg("done", name),
            {"text": f"Finished {name}."},
        )
        project.wg("add", name, "--id", name, "-d", steps, *after)

    project.start_daemon()
    wait_for(lambda: all_are(project, "done"), "three done tasks")
    wait_for(lambda: not project.json("agents", "--alive"), "the ends of the agents")

    agents = project.json("agents")
    assert {agent["task"] for agent in agents} == {"a", "b", "c"}
    assert [agent["exit_code"] for agent in agents] == [0, 0, 0]
    served = {"input_tokens": 2000, "cached_tokens": 1200, "output_tokens": 190}
    for agent in agents:
        used = agent["usage"] | {"cached_tokens": agent["cached_tokens"]}
        assert used == {**served, "cost_usd": None}
        result = result_of(project, agent["id"])
        assert result["result"] == f"Finished {agent['task']}."
        assert result["usage"] == {
            "input_tokens": 3 * 600 + 2 * 100,
            "cache_read_input_tokens": 3 * 400,
            "output_tokens": 3 * 50 + 2 * 20,
        }
    asked = [note for note in mock.requests if "step" in note]
    assert len(asked) == 15
    assert {note["step"].get("status") for note in asked} == {None}
    for name in ("a", "b", "c"):
        assert f"{name} begins" in project.wg("log", name, "--list")
        (artifact,) = project.json("show", name)["artifacts"]
        assert artifact["name"] == f"{name}.txt"
    project.wg("service", "stop")  # nothing comes and goes any more
    told = [file for file in project.folder.rglob("*") if file.is_file()]
    assert not [file for file in told if KEY.encode() in file.read_bytes()]


def all_are(project: Project, status: str) -> bool:
    """Whether each task has a status."""
    return {task["status"] for task in project.json("list", "--all")} == {status}


def result_of(project: Project, agent: str) -> dict[str, Any]:
    """The last line of an agent's stream."""
    output = project.folder / ".wg/agents" / agent / "output.log"
    line: dict[str, Any] = json.loads(output.read_text().splitlines()[-1])
    return line


def test_a_chat_goes_on_over_restarts(project: Project) -> None:
    """One session: a daemon that was stopped between turns, one killed in a turn."""
    os.mkfifo(project.folder / "go")
    daemon = project.start_daemon()
    chat = project.wg("chat", "new", "--executor", "native").strip()
    say = partial(answer_to, project, chat)

    assert say({"text": "one"}) == ("reply", "one")
    before = project.json("chat", "show", chat)["session"]
    project.wg("service", "stop")
    daemon.wait(30)
    daemon = project.start_daemon()
    assert say({"text": "two"}) == ("reply", "two")
    command = {"shell": "touch begun; cat go"}
    third = send(project, chat, script(command, {"text": "three"}))
    wait_for((project.folder / "begun").exists, "the command to run")
    project.kill_daemon(daemon)
    project.start_daemon()
    (project.folder / "go").write_bytes(b"")

    assert wait_answer(project, chat, third) == ("reply", "three")
    assert say({"text": "four"}) == ("reply", "four")
    assert before is not None
    assert project.json("chat", "show", chat)["session"] == before


def answer_to(project: Project, chat: str, *steps: dict[str, Any]) -> tuple[str, str]:
    """What a message that the mock answers so is answered with."""
    return wait_answer(project, chat, send(project, chat, script(*steps)))
