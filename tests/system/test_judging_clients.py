"""Real clients that judge, assign and propose: their last words are the answer."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.test_cli_evolve import ROLE, actors, take, work
from tests.system.clients import (
    Mock,
    a_client_project,
    a_mock,
    agents_of,
    words_of,
)
from tests.system.project import Project, wait_for
from workgraph.graph.identity import actor_id

pytestmark = [pytest.mark.agents, pytest.mark.timeout(400)]

BOTH: Final = ["claude", pytest.param("codex", marks=pytest.mark.long)]
PATIENCE_S: Final = 200.0
#: What the mock counts for each answer, and what claude takes it to have cost.
INPUT: Final = 100
OUTPUT: Final = 20
COST_USD: Final = 0.0008

VERDICT: Final = {
    "dimensions": {"correctness": 0.9, "completeness": 0.5},
    "notes": "the end is missing",
}
#: (.30 * .9 + .20 * .5) / .50
SCORE: Final = 0.74


def fenced(answer: object) -> str:
    """As models like to say it: over several lines, in a fence, with words around."""
    lines = json.dumps(answer, indent=2)
    return f"I have looked at it.\n\n```json\n{lines}\n```\nThat is my answer."


@contextmanager
def a_bench(
    folder: Path, client: str, answers: tuple[str, ...], values: Mapping[str, str]
) -> Iterator[tuple[Project, Mock]]:
    """A project with a daemon, in which the actor `eva` is a client that says these.

    The next one each time that it is asked. What is worked on are commands: nobody else
    asks the mock.
    """
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps([{"texts": answers}]), encoding="utf-8")
    with (
        a_mock("--scenario", str(scenario), "--bodies") as mock,
        a_client_project(folder / "p", mock, client) as project,
    ):
        project.wg("actor", "add", "eva", "--executor", client)
        project.configure(values)
        project.start_daemon()
        yield project, mock


def wait_status(project: Project, task: str, status: str) -> None:
    """Returns when the task has that status, and says what there is to say if not."""

    def is_so() -> bool:
        return project.run("task-status", task).stdout.strip() == status

    try:
        wait_for(is_so, f"{task} to be {status}", PATIENCE_S)
    except AssertionError as error:
        message = f"{error}\n{words_of(project, task)}"
        raise AssertionError(message) from error


def check_paid(project: Project, errand: str, client: str, tries: int) -> None:
    """An errand's tries are told as any task's: usage, cost, and what was spent."""
    shown = project.json("show", errand)
    runs = agents_of(project, errand)

    assert [one["executor"] for one in runs] == [client] * tries
    assert shown["usage"]["input_tokens"] == INPUT * tries
    assert shown["usage"]["output_tokens"] == OUTPUT * tries
    if client == "claude":
        assert shown["usage"]["cost_usd"] == pytest.approx(COST_USD * tries)
    spent = {one["key"]: one for one in project.json("spend", "--by", "task")["rows"]}
    assert spent[errand]["input_tokens"] == INPUT * tries


def prompt_of(mock: Mock, number: int) -> str:
    """All that was said to a client with its request of that number."""
    return json.dumps(mock.requests()[number]["body"], ensure_ascii=False)


ENFORCING: Final = {
    "agency.auto_reward": "actor",
    "agency.evaluator": "eva",
    "agency.reward_gate": "enforcing",
}


@pytest.mark.parametrize("client", BOTH)
def test_a_client_judges_and_is_asked_again(tmp_path: Path, client: str) -> None:
    """Prose is no answer; one in a fence, with words around it, is."""
    answers = ("It is fine.", fenced(VERDICT))
    with a_bench(tmp_path, client, answers, ENFORCING) as (project, mock):
        work = "echo made >made.txt; wg artifact made.txt; wg log 'the butler did it'"
        project.wg("add", "build", "--exec", work)
        wait_status(project, "build", "done")
        wait_status(project, "reward-build", "done")

        (reward,) = project.json("reward", "show", "build")
        nodes = {one["id"]: one for one in project.json("list", "--all")}
        first, second = prompt_of(mock, 0), prompt_of(mock, 1)

        assert (reward["score"], reward["source"]) == (SCORE, "evaluator")
        assert reward["by"] == "eva"
        assert reward["notes"] == VERDICT["notes"]
        assert nodes.keys() == {"build", "reward-build"}
        assert "reward" in nodes["reward-build"]["tags"]
        assert len(mock.requests()) == len(answers)
        assert "> the butler did it" in first
        assert "made.txt" in first
        assert "does not end with a line that is a JSON object" in second
        check_paid(project, "reward-build", client, len(answers))
        assert project.json("show", "build")["attempts"] == 1


@pytest.mark.long
@pytest.mark.parametrize("client", ["claude", "codex"])
def test_who_gives_no_answer_lets_nothing_pass(tmp_path: Path, client: str) -> None:
    """Three times asked, then a person decides."""
    wrong = json.dumps({"dimensions": {"correctness": 9}})
    answers = ("It is fine.", f"Here it is:\n{wrong}", "I have said so.")
    with a_bench(tmp_path, client, answers, ENFORCING) as (project, _):
        project.wg("add", "build", "--exec", "true")
        wait_status(project, "reward-build", "failed")

        (reason,) = project.json("why", "build")["reasons"]

        assert project.json("show", "build")["status"] == "pending-review"
        assert reason["code"] == "pending_review"
        assert project.json("reward", "show", "build") == []
        check_paid(project, "reward-build", client, 3)
        project.wg("approve", "build")
        assert project.json("show", "build")["status"] == "done"


ASSIGNED: Final = {"agency.auto_assign": "actor", "agency.assigner": "eva"}


@pytest.mark.long
@pytest.mark.parametrize("client", ["claude", "codex"])
def test_a_client_assigns(tmp_path: Path, client: str) -> None:
    """Whom it names does it, whoever matching would have chosen."""
    answers = ("Ada, I think.", 'As I see it:\n{"actor": "bob"}\n')
    with a_bench(tmp_path, client, answers, ASSIGNED) as (project, mock):
        for name in ("ada", "bob"):
            project.wg("actor", "add", name, "--skill", "python")
        project.wg("add", "build", "--skill", "python", "--exec", "true")
        wait_status(project, "build", "done")

        (run,) = agents_of(project, "build")
        shown = project.json("show", "build")

        assert run["actor"] == "bob"
        assert {"id": "assign-build", "on": "settled"} in shown["after"]
        assert "ada" in prompt_of(mock, 0)
        check_paid(project, "assign-build", client, 2)


@pytest.mark.long
@pytest.mark.parametrize("client", ["claude", "codex"])
def test_who_names_nobody_leaves_it_to_matching(tmp_path: Path, client: str) -> None:
    """An assigner never blocks work."""
    answers = ('{"actor": "nobody"}',)
    with a_bench(tmp_path, client, answers, ASSIGNED) as (project, _):
        project.wg("actor", "add", "ada", "--skill", "python")
        project.wg("add", "build", "--skill", "python", "--exec", "true")
        wait_status(project, "build", "done")

        (run,) = agents_of(project, "build")

        assert run["actor"] == "ada"
        assert project.json("show", "assign-build")["status"] == "failed"
        check_paid(project, "assign-build", client, 3)


@pytest.mark.long
@pytest.mark.parametrize("client", ["claude", "codex"])
def test_a_client_proposes(tmp_path: Path, client: str) -> None:
    """What it proposes is checked, and tried."""
    change = {"kind": "role", "actor": "bob", "change": {"outcome": "It is whole."}}
    wrong = {"proposals": [change | {"actor": "nobody", "reason": "parts lack"}]}
    right: dict[str, Any] = {"proposals": [change | {"reason": "parts lack"}]}
    answers = (fenced(wrong), fenced(right))
    values = {"agency.evolver": "eva"}
    with a_bench(tmp_path, client, answers, values) as (project, _):
        bob = actor_id(name="bob", role=ROLE)
        done = work("bob", bob, [0.66] * 20, "2025-01-01T00:00:00Z", 1)
        take(project, actors("bob") + done)
        project.wg("evolve")
        wait_status(project, ".evolve-1", "done")

        (proposal,) = project.json("evolve", "list")

        assert (proposal["kind"], proposal["subject"]) == ("role", "bob")
        assert proposal["by"] == "eva"
        check_paid(project, ".evolve-1", client, 2)
