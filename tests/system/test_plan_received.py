"""What a process receives is what its plan says, for every way to start one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Shells make these up, and the dynamic linker none.
MADE_UP = frozenset({"PWD", "SHLVL", "_", "OLDPWD"})
SECRET = "sk-canary-0123456789"

AGENT = """#!/bin/sh
# What it was given, as the kernel has it, before anything else is done.
cat /proc/$$/cmdline >"@SEEN@/$WG_AGENT_ID.argv"
cat /proc/$$/environ >"@SEEN@/$WG_AGENT_ID.env"
cat >"@SEEN@/$WG_AGENT_ID.stdin"
echo '{"type":"system","subtype":"init","session_id":"'"$2"'","model":"m"}'
echo '{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"a"}]}}'
[ "$WG_TASK_ID/$WG_ATTEMPT" != crash/1 ] || kill -9 $$
wg done
"""

SETTINGS = """
[dispatcher]
max_agents = 0
executor = "tool"
model = "project-model"
[retry]
backoff = "100ms"
[env]
pass = ["OPENED_*"]
[executors.tool]
argv = ["@PROGRAM@", "--as", "{new_session}", "--model", "{model}", "{task}", "{agent}"]
resume = ["@PROGRAM@", "--go-on", "{session}", "--model", "{model}", "{agent}"]
stream = "claude"
env = ["TOOL_*"]
preamble = "Be brief."
"""


def a_tool(project: Project) -> Path:
    """A program that notes what it was given, and the settings that name it."""
    seen = project.folder.parent / "seen"
    seen.mkdir()
    program = project.folder.parent / "tool"
    program.write_text(AGENT.replace("@SEEN@", str(seen)))
    program.chmod(0o755)
    text = SETTINGS.replace("@PROGRAM@", str(program))
    (project.folder / ".wg/config.toml").write_text(text)
    project.env |= {
        "TOOL_KEY": SECRET,
        "TOOL_MODE": "a b\nc",
        "OPENED_DOOR": "x=y",
        "CLOSED_DOOR": "z",
    }
    return seen


def compare(project: Project, seen: Path, agent: str) -> dict[str, Any]:
    """Holds what an agent was given against the plan that was kept; gives the plan."""
    folder = project.folder / ".wg/agents" / agent
    plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    argv = (seen / f"{agent}.argv").read_bytes().decode().split("\0")[:-1]
    pairs = (seen / f"{agent}.env").read_bytes().decode().split("\0")[:-1]
    env = dict(pair.split("=", 1) for pair in pairs)
    planned = {name: one["value"] for name, one in plan["env"].items()}

    # The kernel puts a script's interpreter before its path.
    assert argv[1:] == plan["argv"]["value"]
    assert env.keys() - MADE_UP == planned.keys()
    for name, value in planned.items():
        assert value in {env[name], "***"}, name
    assert {name for name, value in planned.items() if value == "***"} == {
        "TOOL_KEY",
        "WG_TOKEN",
    }
    assert env["TOOL_KEY"] == SECRET
    assert (seen / f"{agent}.stdin").read_text() == (folder / "prompt.md").read_text()
    assert (folder / "prompt.md").read_text().startswith("Be brief.\n\nYou ")
    return plan


def is_done(project: Project, task: str) -> None:
    """Returns when a task is done and its agent gone."""
    wait_for(
        lambda: (
            project.json("show", task)["status"] == "done"
            and not project.json("agents", "--alive")
        ),
        f"{task} to be done",
    )


@pytest.mark.parametrize("by", ["dispatch", "spawn", "spawn with flags"])
def test_the_process_gets_the_plan(tmp_path: Path, by: str) -> None:
    """Arguments, environment and standard input: nothing is added, nothing lost."""
    with a_project(tmp_path / "p") as project:
        seen = a_tool(project)
        project.start_daemon()
        task = project.wg("add", "a task", "--env", "MODE=it's so").strip()
        flags = ["--model", "flag-model"] if by == "spawn with flags" else []
        before = project.json("plan", task, *flags)

        if by == "dispatch":
            project.wg("config", "set", "dispatcher.max_agents", "1")
        else:
            project.wg("spawn", task, *flags)
        is_done(project, task)

        plan = compare(project, seen, "agent-1")
        model = "flag-model" if flags else "project-model"
        assert plan["argv"]["value"][3:5] == ["--model", model]
        assert plan["argv"]["value"][5:] == [task, "agent-1"]
        for text in ("<agent>", "<session>", "<attempt>"):
            assert text in json.dumps(before)
            assert text not in json.dumps(plan)
        assert sources(before) == sources(plan)
        assert plan["env"]["MODE"] == {"value": "it's so", "source": "task.env"}
        assert plan["env"]["OPENED_DOOR"]["source"] == "[env].pass"
        assert plan["env"]["TOOL_MODE"] == {"value": "a b\nc", "source": "executor"}
        assert "CLOSED_DOOR" not in plan["env"]


def test_who_goes_on_with_a_session_gets_its_plan_too(tmp_path: Path) -> None:
    """By the other template, with the session that the first attempt was given."""
    with a_project(tmp_path / "p") as project:
        seen = a_tool(project)
        project.start_daemon("--max-agents", "1")
        task = project.wg("add", "a task", "--id", "crash").strip()
        is_done(project, task)

        first, again = (compare(project, seen, f"agent-{n}") for n in (1, 2))
        session = first["argv"]["value"][2]
        assert again["argv"]["value"][1:] == [
            *("--go-on", session),
            *("--model", "project-model", "agent-2"),
        ]


def sources(plan: dict[str, Any]) -> dict[str, str]:
    """Where each value of a plan is from."""
    values = {key: one for key, one in plan.items() if isinstance(one, dict)}
    env = values.pop("env")
    return {name: one["source"] for name, one in (env | values).items()}


def test_a_key_is_found_nowhere(tmp_path: Path) -> None:
    """Not in the project's folder, nor in any answer, after a task is done with it."""
    with a_project(tmp_path / "p") as project:
        a_tool(project)
        project.start_daemon()
        task = project.wg("add", "a task").strip()
        answers = [project.wg("plan", task), project.wg("spawn", task)]
        is_done(project, task)
        answers += [
            project.wg(*words.split(), *([task] if words in {"show", "why"} else []))
            for words in ("show", "why", "agents", "list", "export", "config list")
        ]
        answers.append(project.wg("output", "agent-1", "--raw"))
        project.wg("service", "stop")  # nothing comes and goes any more
        for daemon_log in tmp_path.glob("*.log"):
            answers.append(daemon_log.read_text())

        files = [file for file in project.folder.rglob("*") if file.is_file()]

        assert [file for file in files if SECRET.encode() in file.read_bytes()] == []
        assert [answer for answer in answers if SECRET in answer] == []
