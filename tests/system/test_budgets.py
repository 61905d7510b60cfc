"""Budgets by a real daemon: a stream that says how much was used is cut."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

SESSION = "3f6f0a52-6a0f-4bb3-9f0e-0c3f1a0a7a11"
#: Prints what its prompt file's task is to use, calls `wg`, and hangs.
CLIENT = """
cat >/dev/null
while read -r line; do
    echo "$line"
    wg log "said it" 2>>"$PWD/warned"
done < "$PWD/lines"
touch "$PWD/said"
exec sleep 600
"""


def line(number: int, tokens: int) -> str:
    """A message of the client, with what it has used."""
    message: dict[str, Any] = {
        "id": f"msg_{number}",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "at work"}],
        "usage": {"input_tokens": tokens, "output_tokens": 0},
    }
    said = {"type": "assistant", "session_id": SESSION, "message": message}
    return json.dumps(said)


def write_lines(project: Project, *tokens: int) -> None:
    """What the client prints in its next run."""
    first = {
        "type": "system",
        "subtype": "init",
        "session_id": SESSION,
        "model": "claude-opus-5-5",
    }
    said = [json.dumps(first), *(line(n, one) for n, one in enumerate(tokens))]
    (project.folder / "lines").write_text("\n".join(said) + "\n", encoding="utf-8")


def a_client(project: Project) -> None:
    """An executor as data whose stream is read as claude's."""
    program = project.folder / "client.sh"
    program.write_text(CLIENT, encoding="utf-8")
    argv = json.dumps(["sh", str(program)])
    project.configure({"executors.fake.argv": argv, "executors.fake.stream": "claude"})


def test_a_task_is_cut_at_its_budget_and_goes_on_when_it_is_raised(
    tmp_path: Path,
) -> None:
    """`--budget-tokens 1000` against a client that uses 10,000."""
    with a_project(tmp_path / "p") as project:
        a_client(project)
        write_lines(project, 950, 9050)
        project.start_daemon()
        task = project.wg(
            *("add", "big", "--executor", "fake", "--budget-tokens", "1000")
        ).strip()

        def reasons() -> list[dict[str, str]]:
            found: list[dict[str, str]] = project.json("why", task)["reasons"]
            return found

        wait_for(
            lambda: [one["code"] for one in reasons()] == ["budget_exhausted"],
            "the budget to be used up",
        )
        (reason,) = reasons()
        assert reason["message"] == (
            "the budget of 1,000 tokens of big is used up: 10,000 tokens"
        )
        assert reason["remedy"] == "wg edit big --budget-tokens N"
        (agent,) = project.json("agents")
        assert agent["outcome"] == "budget"
        assert agent["usage"]["input_tokens"] == 10_000
        wait_for(lambda: not project.processes(), "nothing of it to be left")
        spend = project.json("spend")
        assert spend["rows"][0]["key"] == task
        assert spend["total"]["input_tokens"] == 10_000
        assert spend["total"]["unknown_cost"] == 1

        (project.folder / "said").unlink(missing_ok=True)
        write_lines(project, 950)
        project.wg("edit", task, "--budget-tokens", "11000")
        wait_for((project.folder / "said").exists, "the next attempt to be at work")
        why = project.json("why", task)
        assert why["running"]

        def notes() -> list[str]:
            found: list[str] = project.json("why", task)["run"]["notes"]
            return found

        wait_for(
            lambda: "99 % of the budget of 11,000 tokens of big is used" in notes(),
            "its use to be seen",
        )


def test_an_agent_is_told_with_its_calls(tmp_path: Path) -> None:
    """One line on standard error, from 90 % on."""
    with a_project(tmp_path / "p") as project:
        a_client(project)
        client = project.folder / "client.sh"
        client.write_text(
            'cat >/dev/null; cat "$PWD/lines"\n'
            "until wg log hi 2>warned && test -s warned; do sleep 0.05; done\n"
            "wg --json heartbeat >json 2>warned-json\n"
            "touch said; exec sleep 600\n",
            encoding="utf-8",
        )
        write_lines(project, 920)
        project.start_daemon()
        project.wg("add", "big", "--executor", "fake", "--budget-tokens", "1000")
        wait_for((project.folder / "said").exists, "the agent to be told")

        said = (
            "wg: 92 % of the budget of 1,000 tokens is used;"
            " finish or say what is left\n"
        )
        assert (project.folder / "warned").read_text("utf-8") == said
        assert (project.folder / "warned-json").read_text("utf-8") == said
        assert json.loads((project.folder / "json").read_text("utf-8"))["data"]
        kinds = [entry["kind"] for entry in project.json("log", "big", "--list")]
        assert kinds.count("budget_warned") == 1


def test_a_limit_of_the_settings_holds_and_lets_go_at_once(tmp_path: Path) -> None:
    """Lowered below what an agent has used, and raised again."""
    with a_project(tmp_path / "p") as project:
        a_client(project)
        write_lines(project, 500)
        project.start_daemon()
        task = project.wg("add", "big", "--executor", "fake").strip()
        wait_for((project.folder / "said").exists, "the agent to be at work")

        project.wg("config", "set", "budget.tokens_per_day", "400")
        wait_for(
            lambda: (
                [one["code"] for one in project.json("why", task)["reasons"]]
                == ["budget_exhausted"]
            ),
            "the day to be used up",
        )
        code, error = project.error("spawn", task)
        assert (code, error["code"]) == (1, "budget_exhausted")

        project.wg("config", "set", "budget.tokens_per_day", "0")
        wait_for(lambda: project.json("why", task)["running"], "it to go on")
        assert [a["attempt"] for a in project.json("agents")] == [1, 2]
        assert project.json("show", task)["attempts"] == 1
