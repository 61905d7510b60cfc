"""How work is judged, by real processes: evaluators that answer, and that fail."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.project import Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Keeps what it was told, and says that it has done its work.
WORKER: Final = """#!/bin/sh
cat >"$WG_TASK_ID-$WG_ATTEMPT.prompt"
echo '{"score": 1.0, "notes": "I am great"}'
"""
#: Prints what it was told, as some clients do, and then what a test has it answer.
JUDGE: Final = """#!/bin/sh
cat | tee "$WG_TASK_ID-$WG_ATTEMPT.prompt"
[ -e answers/"$WG_TASK_ID" ] || kill -9 $$
cat answers/"$WG_TASK_ID"
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with a worker and an evaluator."""
    with a_project(tmp_path / "p") as made:
        for name, text in (("worker", WORKER), ("judge", JUDGE)):
            program = made.folder / f"{name}.sh"
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)
            made.configure({f"executors.{name}.argv": json.dumps([f"{program}"])})
        (made.folder / "answers").mkdir()
        actor = {"kind": "actor", "name": "eva", "executor": "judge", "skills": ["*"]}
        made.wg("import", "-", stdin=json.dumps(actor))
        made.configure(
            {
                "dispatcher.executor": "worker",
                "agency.auto_reward": "actor",
                "agency.evaluator": "eva",
                "retry.backoff": "10ms",
            }
        )
        yield made


def answers(project: Project, errand: str, said: object) -> None:
    """What the evaluator is going to say."""
    text = said if isinstance(said, str) else json.dumps(said)
    (project.folder / "answers" / errand).write_text(text + "\n", encoding="utf-8")


def rewards(project: Project, task: str) -> list[tuple[Any, ...]]:
    """Attempt, score and source of what was said."""
    found = project.json("reward", "show", task)
    return [(one["attempt"], one["score"], one["source"]) for one in found]


def test_an_enforcing_gate_sends_back_and_lets_pass(project: Project) -> None:
    """Below: open with notes; the second attempt is judged anew, and is done."""
    project.wg("config", "set", "agency.reward_gate", "enforcing")
    answers(project, "reward-a", {"dimensions": {"correctness": 0.2}, "notes": "thin"})
    answers(project, "reward-a-2", 'well\n```json\n{\n "score": 0.9\n}\n```\nbye')
    project.wg("add", "a")

    project.wg("run", "--until-idle")

    assert rewards(project, "a") == [(1, 0.2, "evaluator"), (2, 0.9, "evaluator")]
    shown = project.json("show", "a")
    assert (shown["status"], shown["attempts"]) == ("done", 2)
    again = (project.folder / "a-2.prompt").read_text()
    assert "thin" in again
    assert "below the threshold of 0.7" in again
    judged = (project.folder / "reward-a-1.prompt").read_text()
    assert '\n> {"score": 1.0, "notes": "I am great"}\n' in judged


def test_an_evaluator_that_crashes_three_times_never_makes_it_done(
    project: Project,
) -> None:
    """Pending review; what it was told and has printed is no verdict."""
    project.wg("config", "set", "agency.reward_gate", "enforcing")
    project.wg("add", "a")

    project.run("run", "--until-idle")

    assert project.json("show", "a")["status"] == "pending-review"
    errand = project.json("show", "reward-a")
    assert (errand["status"], errand["attempts"]) == ("failed", 3)
    (why,) = project.json("why", "a")["reasons"]
    assert why["code"] == "pending_review"
    assert "its evaluator has failed" in why["message"]
    assert "wg reward run a" in why["remedy"]
    (item,) = project.json("inbox")
    assert (item["kind"], item["task"]) == ("review", "a")
    project.wg("approve", "a")
    assert project.json("show", "a")["status"] == "done"


def test_done_and_failed_work_is_judged_and_judges_are_not(project: Project) -> None:
    """`reward-T` after either; the graph ends with these."""
    answers(project, "reward-a", {"score": 0.8})
    answers(project, "reward-b", {"score": 0.1})
    project.wg("add", "a")
    project.wg("add", "b", "--exec", "exit 3")

    project.run("run", "--until-idle")

    ids = sorted(one["id"] for one in project.json("list", "--all"))
    assert ids == ["a", "b", "reward-a", "reward-b"]
    assert rewards(project, "a") == [(1, 0.8, "evaluator")]
    assert rewards(project, "b") == [(1, 0.1, "evaluator")]
    assert project.json("show", "b")["status"] == "failed"


@pytest.mark.parametrize("how", ["done", "submit", "exit", "approve"])
def test_a_verify_that_fails_never_lets_a_task_be_done(
    tmp_path: Path, how: str
) -> None:
    """Whatever the agent says; its output is in the next prompt."""
    with a_project(tmp_path / "p") as project:
        say = {
            "done": "wg done",
            "submit": "wg submit",
            "exit": "echo I have worked",
            "approve": "wg done; wg approve a; wg reward record a --score 1",
        }[how]
        worker = project.folder / "worker.sh"
        worker.write_text(f'#!/bin/sh\ncat >"$WG_ATTEMPT.prompt"\n{say}\nexit 0\n')
        worker.chmod(0o755)
        project.wg("config", "set", "executors.worker.argv", json.dumps([f"{worker}"]))
        project.wg("add", "a", "--executor", "worker", "--max-attempts", "2")
        project.wg("edit", "a", "--verify", "echo it is broken; false")

        project.run("run", "--until-idle")

        shown = project.json("show", "a")
        assert (shown["status"], shown["attempts"]) == ("failed", 2)
        assert shown["failure"]["class"] == "gate"
        assert "it is broken" in (project.folder / "2.prompt").read_text()


def test_reward_run_with_and_without_a_daemon(tmp_path: Path) -> None:
    """Checks judge at once where there is no evaluator; offline, too."""
    with a_project(tmp_path / "p") as project:
        project.wg("add", "a", "--exec", "true")
        project.wg("run", "--until-idle")

        said = project.wg("reward", "run", "a")
        assert said == "a: attempt 1, 1 by checks\n"
        assert rewards(project, "a") == [(1, 1.0, "checks")]
        status, error = project.error("reward", "run", "a", "--attempt", "7")
        assert (status, error["code"]) == (3, "not_found")
        status, error = project.error("reward", "run", "nope")
        assert status == 3


def test_a_score_passes_the_gate_offline(tmp_path: Path) -> None:
    """`wg reward record` moves the task in the same command."""
    with a_project(tmp_path / "p") as project:
        project.wg("add", "a", "--exec", "true", "--review", "reward")
        project.run("run", "--until-idle")
        (why,) = project.json("why", "a")["reasons"]
        assert "nobody gives one by itself" in why["message"]

        project.wg("reward", "record", "a", "--score", "0.9")

        assert project.json("show", "a")["status"] == "done"
