"""CONTRACT §7 by `wg`: what an agent would be told, and what one was told."""

import json
from pathlib import Path

import pytest

from tests.system.project import a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


def test_the_context_of_a_task_is_shown_with_and_without_a_daemon(
    tmp_path: Path,
) -> None:
    """Text, block by block, JSON; then what the agent was given, to the byte."""
    with a_project(tmp_path) as project:
        project.wg("add", "First", "--id", "first", "--exec", "true")
        notes = tmp_path / "notes.txt"
        notes.write_text("never forget the towel\n", encoding="utf-8")
        project.wg("add", "Job", "--id", "job", "--after", "first", "-d", "do it")
        project.wg("edit", "job", "--context-file", str(notes))
        project.wg("done", "first", "--summary", "-", stdin="the first is done\n")

        text = project.wg("context", "job")
        assert "the first is done" in text
        assert "never forget the towel" in text
        document = json.loads(project.wg("context", "job", "--json"))["data"]
        assert document["text"] == text
        assert sum(b["tokens"] for b in document["blocks"]) == document["tokens"]
        assert document["tokens"] <= document["limit"]
        explained = project.wg("context", "job", "--explain")
        assert f"{document['tokens']} tokens" in explained
        assert "dependencies first" in explained

        project.wg("add", "Shell", "--id", "shell", "--exec", 'cat "$WG_PROMPT_FILE"')
        project.wg("service", "start")
        wait_for(
            lambda: project.wg("task-status", "shell").strip() == "done", "the end"
        )
        agents = json.loads(project.wg("agents", "--json"))["data"]
        [agent] = [one["id"] for one in agents if one["task"] == "shell"]
        given = project.wg("context", "shell", "--agent", agent)
        assert given == project.wg("output", agent)
        number = agent.removeprefix("agent-")
        told = json.loads(project.wg("context", "--agent", number, "--json"))["data"]
        assert (told["task"], told["agent"], told["text"]) == ("shell", agent, given)
