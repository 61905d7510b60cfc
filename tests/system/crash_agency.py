"""Stages at which a daemon is killed while it chooses who does a task, and judges it.

As those of `crash_stages`. Each is all or nothing: a choice and its claim, a score and
the end of the attempt, an errand and what waits for it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.system.crash_lives import Lives
from tests.system.crash_points import Point

#: Errands are done by a program that says what both have to say.
PROGRAM = (
    'cat >/dev/null\necho \'{"actor": "default", "dimensions": {"efficiency": 0.25}}\''
)


def assign(lives: Lives, task: str, point: Point) -> Iterator[None]:
    """Two could do it: the choice is there with its claim, or neither is."""
    del point
    actors = [f"ada-{task}", f"bob-{task}"]
    lives.arm()
    lives.import_tasks(
        *({"kind": "actor", "name": name, "skills": [task]} for name in actors),
        {
            "id": task,
            "exec": lives.evidence.agent("exit", 0),
            "requires_skills": [task],
        },
    )
    yield
    lives.wait_task(task, "done")
    assert len(lives.evidence.of_task(task)) == 1
    runs = lives.task(task)["runs"]
    log = lives.project.json("log", task, "--list")
    told = [one["attempt"] for one in log if one["kind"] == "assigned"]
    assert told == [run["attempt"] for run in runs], (told, runs)
    assert {run["actor"] for run in runs} <= set(actors), runs


def checks(lives: Lives, task: str, point: Point) -> Iterator[None]:
    """The score is there with the end of the attempt, once, or neither is."""
    del point
    _set(lives, "auto_reward", "checks")
    lives.arm()
    lives.add(task, "exit", 0, options=("--verify", "true"))
    yield
    _expect_score(lives, task, "checks", 1.0)
    _set(lives, "auto_reward", "off")


def ask(lives: Lives, task: str, point: Point) -> Iterator[None]:
    """`assign-T` is there once, with the edge by which T waits for it."""
    del point
    _set(lives, "auto_assign", "actor")
    lives.arm()
    lives.add(task, "exit", 0)
    yield
    found = lives.wait_task(task, "done")
    _set(lives, "auto_assign", "match")
    assert found["after"] == [{"id": f"assign-{task}", "on": "settled"}], found
    assert [run["actor"] for run in found["runs"]] == ["default"], found
    assert _errands(lives, task) == [f"assign-{task}"]


def judge(lives: Lives, task: str, point: Point) -> Iterator[None]:
    """`reward-T` is there once, for the attempt that has ended, and is heeded once."""
    del point
    _set(lives, "auto_reward", "actor")
    lives.arm()
    lives.add(task, "exit", 0)
    yield
    lives.wait_task(task, "done")  # the errand is there from then on, not before
    lives.wait_task(f"reward-{task}", "done")
    _set(lives, "auto_reward", "off")
    _expect_score(lives, task, "evaluator", 0.25)
    assert _errands(lives, task) == [f"reward-{task}"]


def _set(lives: Lives, key: str, value: str) -> None:
    """Sets one thing for the daemon that lives, and those who do errands."""
    program = lives.project.folder / "errand.sh"
    if not program.exists():
        program.write_text(f"#!/bin/sh\n{PROGRAM}\n")
        program.chmod(0o755)
        wg = lives.project.wg
        wg("config", "set", "executors.errand.argv", f'["{program}"]')
        wg("actor", "add", "official", "--executor", "errand")
        wg("config", "set", "agency.assigner", "official")
        wg("config", "set", "agency.evaluator", "official")
    lives.project.wg("config", "set", f"agency.{key}", value)
    lives.project.wg("service", "reload")


def _errands(lives: Lives, task: str) -> list[str]:
    """What the machinery has added for a task."""
    found = lives.read("list", all=True)
    return [one["id"] for one in found if one["id"].endswith(f"-{task}")]


def _expect_score(lives: Lives, task: str, source: str, score: float) -> None:
    found: Mapping[str, Any] = lives.wait_task(task, "done")
    rewards = lives.project.json("reward", "show", task)
    said = [(one["attempt"], one["source"], one["score"]) for one in rewards]
    assert said == [(1, source, score)], (said, found["runs"])
    assert len(lives.evidence.of_task(task)) == 1
    log = lives.project.json("log", task, "--list")
    assert [one["kind"] for one in log].count("reward_recorded") == 1, log
