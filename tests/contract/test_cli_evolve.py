"""`wg evolve` and its commands by real processes, with a daemon and without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_cli_service import a_connection
from tests.system.project import Project, a_project, wait_for
from workgraph.graph.identity import actor_id, role_id

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

ROLE = role_id(description="builds", skills=(), outcome="It works.")
WEAK = {"correctness": 0.9, "completeness": 0.3}


@pytest.fixture(params=["daemon", "offline"])
def any_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project, with a daemon that starts nothing or without one."""
    with a_project(tmp_path / "p") as made:
        if request.param == "daemon":
            made.start_daemon("--max-agents", "0")
        yield made


def actors(*names: str) -> list[dict[str, Any]]:
    """A role, and actors that have it."""
    role = {"kind": "role", "name": "builder", "description": "builds"}
    return [
        role | {"outcome": "It works."},
        *({"kind": "actor", "name": name, "role": ROLE} for name in names),
    ]


def work(
    actor: str, id_: str, scores: list[float], at: str, first: int, **more: Any
) -> list[dict[str, Any]]:
    """Tasks that an actor has done, each with its reward."""
    found: list[dict[str, Any]] = []
    for number, score in enumerate(scores, start=first):
        task = f"{actor}-{number}"
        found += [
            {"kind": "task", "id": task, "title": task, "status": "done"},
            {
                "kind": "agent",
                "id": f"agent-{number}",
                "task": task,
                "attempt": 1,
                "actor": actor,
                "executor": "shell",
                "outcome": "done",
                "started_at": at,
                "ended_at": at,
            },
            {
                "kind": "reward",
                "task": task,
                "attempt": 1,
                "source": "evaluator",
                "actor": actor,
                "actor_id": id_,
                "role": ROLE,
                "score": score,
                "rubric": "1",
            }
            | more,
        ]
    return found


def take(project: Project, lines: list[dict[str, Any]]) -> None:
    """An import."""
    file = project.folder / "lines.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    project.wg("import", str(file))


def a_record(project: Project, *names: str) -> None:
    """The first of some actors has work that is not complete."""
    bob = actor_id(name=names[0], role=ROLE)
    done = work(names[0], bob, [0.66] * 20, "2025-01-01T00:00:00Z", 1, dimensions=WEAK)
    take(project, actors(*names) + done)


def test_from_a_record_to_a_rejection(any_project: Project) -> None:
    """Dry run, run, list, show, review; and what stands in the log."""
    project = any_project
    assert project.wg("evolve") == "the record asks for no change\n"
    a_record(project, "bob")
    before = project.wg("export")
    dry = project.json("evolve", "--dry-run")
    assert (dry["dry_run"], len(dry["proposals"])) == (True, 1)
    assert project.wg("export") == before
    assert project.json("evolve", "list") == []

    done = project.json("evolve")["proposals"][0]
    assert (done["id"], done["status"], done["child"]) == (1, "trial", "bob-2")
    shown = project.wg("evolve", "show", "1")
    assert "completeness is clearly the weakest" in shown
    assert "  | It works. Everything that the task asks for is there;" in shown
    assert "share: 20%" in shown
    line = project.wg("evolve", "list").split()
    assert line[:5] == ["1", "trial", "role", "bob", "bob-2"]
    assert project.wg("evolve", "review") == ""

    refused = project.run("evolve", "review", "approve", "1")
    assert (refused.returncode, "waits for nobody" in refused.stderr) == (4, True)
    said = project.wg("evolve", "review", "reject", "1", "--reason", "not now")
    assert "1 rejected" in said
    assert "not now" in said
    assert project.json("evolve", "list") == []
    assert project.json("evolve", "list", "--all")[0]["status"] == "rejected"
    for argv, status in (
        ("evolve show 9", 3),
        ("evolve review approve 9", 3),
        ("evolve review reject 1", 4),
        ("evolve review approve", 2),
        ("evolve review approve x", 2),
        ("evolve --dry-run list", 2),
        ("evolve soup", 2),
    ):
        assert project.run(*argv.split()).returncode == status, argv


def test_what_is_about_the_evaluator_waits(any_project: Project) -> None:
    """Until somebody says yes."""
    project = any_project
    project.wg("config", "set", "agency.evaluator", "eva")
    a_record(project, "bob", "eva")

    assert project.json("evolve")["proposals"][0]["status"] == "waiting"
    assert project.json("evolve")["proposals"] == []
    assert [one["id"] for one in project.json("evolve", "review")] == [1]
    assert project.json("evolve", "review", "approve", "1")["status"] == "trial"


def test_a_trial_ends_by_itself_overnight(tmp_path: Path) -> None:
    """The daemon judges it when enough work has been judged; the socket says so."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon("--max-agents", "0")
        a_record(project, "bob")
        child = project.json("evolve")["proposals"][0]["child_id"]
        at = "2099-01-01T00:00:00Z"
        bob = actor_id(name="bob", role=ROLE)

        take(project, work("bob", bob, [0.5] * 12, at, 21))
        take(project, work("bob-2", child, [0.9] * 12, at, 41))

        def is_over() -> bool:
            return not project.json("evolve", "list")

        wait_for(is_over, "the trial to end")
        with a_connection(project) as ask:
            shown = ask({"cmd": "evolve_show", "id": 1})["data"]
            assert (shown["status"], len(shown["looks"])) == ("promoted", 1)
            assert ask({"cmd": "evolve-list", "all": True})["data"][0]["id"] == 1
            assert ask({"cmd": "evolve", "dry_run": True})["data"]["dry_run"]
            assert ask({"cmd": "evolve_review"})["data"] == []
