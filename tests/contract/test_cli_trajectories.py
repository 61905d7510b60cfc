"""`wg trajectory` and `wg claim-trajectory` by real processes."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.project import BIN, Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

RACES = 50


@pytest.fixture(params=["daemon", "offline"])
def any_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project, with a daemon that starts nothing or without one."""
    with a_project(tmp_path / "p") as made:
        if request.param == "daemon":
            made.start_daemon("--max-agents", "0")
        yield made


def add_diamond(project: Project) -> None:
    """Four tasks that share a file."""
    for task, *after in (("a",), ("b", "a"), ("c", "a"), ("d", "b", "c")):
        edges = [word for dep in after for word in ("--after", dep)]
        project.wg("add", task, *edges, "--context-file", "n.md")


def test_a_diamond_is_shown_claimed_worked_on_and_released(
    any_project: Project,
) -> None:
    """What is shown is what `--from` reserves; others are told so."""
    project = any_project
    add_diamond(project)
    shown = project.json("trajectory", "a", "--actor", "ann")
    assert [step["task"] for step in shown["steps"]] == ["a", "b", "c", "d"]
    assert shown["actor"] == "ann"
    assert shown["tokens"] == sum(step["tokens"] for step in shown["steps"])
    assert "n.md" in shown["steps"][1]["shares"]
    assert project.json("trajectory")["steps"] == shown["steps"]
    text = project.wg("trajectory", "a")
    assert text.splitlines()[0].startswith("trajectory: 4 steps, ")

    claimed = project.json("claim-trajectory", "--from", "a", "--actor", "ann")

    assert (claimed["steps"], claimed["number"]) == (shown["steps"], 1)
    for task in "abcd":
        codes = [one["code"] for one in project.json("why", task)["reasons"]]
        assert "reserved" in codes, task
    assert project.json("show", "b")["trajectory"] == {
        "number": 1,
        "actor": "ann",
        "step": 2,
        "steps": 4,
    }
    assert "Trajectory: 1 (step 2 of 4, for ann)\n" in project.wg("show", "b")
    assert project.run("next", "--actor", "bob").returncode == 1
    assert project.error("claim", "a", "--actor", "bob")[0] == 4
    assert project.wg("next", "--actor", "ann", "--claim") == "a\n"
    project.wg("done", "a")
    assert project.wg("next", "--actor", "ann") == "b\n"
    assert project.wg("unclaim", "c") == "c: open\n"
    assert project.json("show", "c")["trajectory"] is None
    assert project.json("show", "d")["trajectory"] is None
    assert project.json("show", "b")["trajectory"]["number"] == 1
    assert project.wg("next", "--actor", "bob") == "c\n"


def test_what_is_no_trajectory_is_refused_with_what_would_be(
    any_project: Project,
) -> None:
    """Out of order, not convex, too large, taken, not there, wrong words."""
    project = any_project
    add_diamond(project)
    for argv, status, said in (
        ("claim-trajectory b a", 1, "b waits for a"),
        ("claim-trajectory a d", 1, "d waits for b"),
        ("claim-trajectory nobody", 3, "no task"),
        ("claim-trajectory", 2, "one of both"),
        ("claim-trajectory a --from a", 2, "one of both"),
        ("trajectory a --limit-tokens 5", 1, "does not fit into 5"),
        ("trajectory d", 1, "waits for b, c"),
        ("trajectory nobody", 3, "no task"),
    ):
        code, error = project.error(*argv.split())
        assert code == status, argv
        assert said in error["message"], argv
    project.wg("claim-trajectory", "a", "b", "--actor", "ann")
    code, error = project.error("claim-trajectory", "a", "c", "--actor", "bob")
    assert (code, error["code"]) == (4, "conflict")
    assert "a is reserved for ann (trajectory 1)" in error["message"]
    assert project.json("show", "c")["trajectory"] is None


def test_of_two_claimers_one_gets_all(tmp_path: Path) -> None:
    """In 50 races of real processes the other one gets nothing."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon("--max-agents", "0")
        lines = [
            {"title": f"{name}{race}", "id": f"{name}{race}", "context_files": ["n"]}
            for race in range(RACES)
            for name in "abc"
        ]
        text = "\n".join(json.dumps({"kind": "task", **line}) for line in lines)
        project.wg("import", "-", stdin=text)
        for race in range(RACES):
            claims = [(f"a{race}", f"b{race}"), (f"c{race}", f"b{race}")]
            racers = [
                subprocess.Popen(
                    [str(BIN / "wg"), "claim-trajectory", *tasks, "--actor", tasks[0]],
                    cwd=project.folder,
                    env=project.env,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                for tasks in (claims if race % 2 else claims[::-1])
            ]
            ends = sorted(racer.wait(300) for racer in racers)
            assert ends == [0, 4], f"race {race}: {ends}"
        tasks = {task["id"]: task["trajectory"] for task in project.json("list")}
        for race in range(RACES):
            held = [tasks[f"{name}{race}"] for name in "abc"]
            numbers = [one["number"] for one in held if one is not None]
            assert len(numbers) == 2, f"race {race}"
            assert len(set(numbers)) == 1, f"race {race}"
            assert tasks[f"b{race}"] is not None, f"race {race}"
