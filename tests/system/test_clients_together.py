"""Real clients that build on each other's work: trajectories, waits, a diamond."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.system.clients import (
    a_client_project,
    a_mock,
    agents_of,
    script,
    session_of,
    words_of,
)
from tests.system.project import Project, wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(400)]

PATIENCE_S = 120.0


def stands(project: Project, task: str, status: str) -> None:
    """Returns when the task has that status and its agents are gone."""

    def is_so() -> bool:
        ended = all(row["status"] == "ended" for row in agents_of(project, task))
        return project.json("show", task)["status"] == status and ended

    try:
        wait_for(is_so, f"{task} to be {status}", PATIENCE_S)
    except AssertionError as error:
        message = f"{error}\n{words_of(project, task)}"
        raise AssertionError(message) from error


def number_of(agent: dict[str, Any]) -> int:
    """The number in an agent's id."""
    return int(agent["id"].removeprefix("agent-"))


def prompt_of(project: Project, agent: dict[str, Any]) -> str:
    """What an agent was told."""
    file: Path = project.folder / ".wg/agents" / agent["id"] / "prompt.md"
    return file.read_text()


def test_a_trajectory_is_done_in_one_session(tmp_path: Path) -> None:
    """Three tasks, one conversation; the rules are said once."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        before: list[str] = []
        for name in ("plan", "build", "check"):
            steps = script(
                {"shell": f"echo {name} >> story.txt"},
                {"shell": f"wg done --summary 'concluded {name}'"},
                {"text": "Done."},
            )
            after = [word for one in before for word in ("--after", one)]
            project.wg("add", name, "--id", name, "-d", steps, *after)
            before = [name]
        project.wg("claim-trajectory", "plan", "build", "check", "--actor", "default")
        project.start_daemon()
        stands(project, "check", "done")

        agents = [agents_of(project, name) for name in ("plan", "build", "check")]
        (first,), (second,), (third,) = agents
        session, resumed = session_of(project, number_of(first))
        assert resumed is None
        for later in (second, third):
            assert session_of(project, number_of(later)) == (session, session)
        assert "wg done --summary" in prompt_of(project, first)
        assert "You are an agent of workgraph" not in prompt_of(project, second)
        assert (project.folder / "story.txt").read_text() == "plan\nbuild\ncheck\n"
        assert [one["turn"] for one in mock.requests()] == [0, 1, 2] * 3


def test_who_waits_for_a_message_goes_on_in_its_session(tmp_path: Path) -> None:
    """Also when the daemon is killed and another one started meanwhile."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        steps = script(
            {"shell": "echo asked > asked.txt"},
            {"shell": "wg wait --until message"},
            {"text": "I wait."},
        )
        task = project.wg("add", "wait for a word", "-d", steps).strip()
        daemon = project.start_daemon()
        stands(project, task, "waiting")
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        project.start_daemon()
        assert project.json("show", task)["status"] == "waiting"

        word = script(
            {"shell": "cp asked.txt answered.txt"},
            {"shell": "wg done --summary 'heard it'"},
            {"text": "Done."},
        )
        project.wg("msg", task, word)
        stands(project, task, "done")

        first, second = agents_of(project, task)
        session, _ = session_of(project, number_of(first))
        assert session_of(project, number_of(second)) == (session, session)
        assert (first["outcome"], second["outcome"]) == ("waiting", "done")
        assert project.json("show", task)["attempts"] == 1
        assert (project.folder / "answered.txt").read_text() == "asked\n"
        (message,) = project.json("msg", task, "--list")
        assert [bool(one["read_at"]) for one in message["receipts"]] == [True]


@pytest.mark.long
def test_a_diamond_hands_over_what_was_found(tmp_path: Path) -> None:
    """The join is told both branches' conclusions, and reads what was recorded."""
    with (
        a_mock() as mock,
        a_client_project(tmp_path / "p", mock, "claude", "codex") as project,
    ):
        (project.folder / "style.md").write_text("Write plainly.\n")

        def steps(name: str, *shell: str) -> str:
            done = f"wg done --summary 'concluded {name}'"
            commands = [{"shell": one} for one in (*shell, done)]
            return script(*commands, {"text": "Done."})

        def add(name: str, executor: str, text: str, *words: str) -> None:
            options = ("--id", name, "-d", text, "--executor", executor)
            project.wg("add", name, *options, *words)

        record = "echo from {0} > {0}.md && wg artifact {0}.md"
        add("top", "claude", steps("top", record.format("top")))
        for name, executor in (("left", "claude"), ("right", "codex")):
            text = steps(name, record.format(name))
            add(name, executor, text, "--input", "top:top.md")
        reads = "cat .wg/artifacts/* > all.txt"
        inputs = ("--input", "left:left.md", "--input", "right:right.md")
        add(
            "join",
            "claude",
            steps("join", reads),
            *inputs,
            "--context-file",
            "style.md",
        )
        project.wg("pause", "join")
        project.start_daemon()
        for name in ("left", "right"):
            stands(project, name, "done")
        (project.folder / "left.md").write_text("overwritten\n")
        project.wg("resume", "join")
        stands(project, "join", "done")

        (agent,) = agents_of(project, "join")
        told = prompt_of(project, agent)
        shown = project.json("show", "left")
        (artifact,) = shown["artifacts"]
        for part in ("concluded left", "concluded right", "Write plainly."):
            assert part in told, told
        assert artifact["sha256"] in told
        assert "from left" in told
        assert "overwritten" not in told
        assert "overwritten" not in (project.folder / "all.txt").read_text()
        kept = project.json("context", "join", "--agent", agent["id"])
        assert kept["text"] == told
        assert sum(one["tokens"] for one in kept["blocks"]) == kept["tokens"]
