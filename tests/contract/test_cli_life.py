"""CONTRACT §3.2 by real processes: claim, done, review, retry, abandon, log, next."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.project import Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with a daemon that starts nothing."""
    with a_project(tmp_path / "p") as made:
        made.start_daemon("--max-agents", "0")
        yield made


@pytest.fixture(params=["daemon", "offline"])
def any_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project, with a daemon that starts nothing or without one."""
    with a_project(tmp_path / "p") as made:
        if request.param == "daemon":
            made.start_daemon("--max-agents", "0")
        yield made


def changes(project: Project, task: str) -> list[tuple[str, str]]:
    """The changes of a task's status."""
    return [
        tuple(one["message"].split(": ")[0].split(" → "))
        for one in project.json("log", task, "--list")
        if one["kind"] == "status_changed"
    ]


def test_a_person_takes_and_finishes_a_task(any_project: Project) -> None:
    """Claim, conflict, done; and done again without a second event."""
    project = any_project
    project.wg("add", "a")
    claimed = project.json("claim", "a", "--actor", "ann")
    assert (claimed["status"], claimed["actor"]) == ("in-progress", "ann")
    assert claimed["agent"] == "agent-1"
    status, error = project.error("claim", "a", "--actor", "bob")
    assert (status, error["code"]) == (4, "conflict")
    assert "ann" in error["message"]
    why = project.json("why", "a")
    assert (why["running"], why["reasons"]) == (True, [])
    project.wg("done", "a", "--summary", "it works")
    project.wg("done", "a")
    assert changes(project, "a") == [("open", "in-progress"), ("in-progress", "done")]
    done = project.json("show", "a")
    assert (done["status"], done["attempts"], done["summary"]) == (
        "done",
        1,
        "it works",
    )
    for argv in ("claim a", "unclaim a", "fail a --reason x", "reject a --reason x"):
        assert project.error(*argv.split())[0] == 1, argv
    assert "Status: done\n" in project.wg("show", "a")
    assert "Assigned: agent-1\n" in project.wg("show", "a")


def test_what_is_not_ready_is_refused_with_its_reason(project: Project) -> None:
    """Paused, waiting, later: exit 1; `--force` takes it all the same."""
    project.wg("add", "a")
    project.wg("add", "b", "--after", "a")
    project.wg("add", "p", "--paused")
    project.wg("add", "n", "--not-before", "1h")
    for task, reason in (("b", "a"), ("p", "paused"), ("n", "before")):
        for verb in ("claim", "done"):
            status, error = project.error(verb, task)
            assert (status, error["code"]) == (1, "refused"), (verb, task)
        assert reason in project.error("claim", task)[1]["message"]
    assert project.json("claim", "p", "--force")["status"] == "in-progress"
    unclaimed = project.json("unclaim", "p")
    assert (unclaimed["status"], unclaimed["attempts"]) == ("open", 0)
    project.wg("done", "a")
    assert project.json("show", "b")["ready"] is True
    project.wg("pause", "b")
    project.wg("pause", "b")
    assert project.json("show", "b")["ready"] is False
    project.wg("resume", "b")
    project.wg("done", "b")


def test_a_review_ends_in_done_or_in_another_attempt(any_project: Project) -> None:
    """Reject uses up the attempt; the last one fails the task."""
    project = any_project
    project.wg("add", "a", "--max-attempts", "2")
    assert project.error("submit", "a")[0] == 1
    assert project.error("approve", "a")[0] == 1
    project.wg("claim", "a", "--actor", "ann")
    assert project.json("submit", "a")["status"] == "pending-review"
    assert project.error("claim", "a")[0] == 1
    rejected = project.json("reject", "a", "--reason", "too short")
    assert (rejected["status"], rejected["attempts"]) == ("open", 1)
    assert rejected["failure"] == {"class": "rejected", "reason": "too short"}
    codes = [one["code"] for one in project.json("why", "a")["reasons"]]
    assert "reserved" in codes
    assert project.error("claim", "a", "--actor", "bob")[0] == 4
    project.wg("claim", "a", "--actor", "ann")
    project.wg("submit", "a")
    assert project.json("reject", "a", "--reason", "no")["status"] == "failed"
    reopened = project.json("retry", "a")
    assert (reopened["status"], reopened["attempts"]) == ("open", 0)
    assert project.error("retry", "a")[0] == 1
    project.wg("claim", "a", "--actor", "ann", "--force")
    project.wg("submit", "a")
    assert project.json("approve", "a")["status"] == "done"


def test_ends_release_or_block_those_behind(project: Project) -> None:
    """A failed task blocks; an abandoned one releases, or hands over to its heir."""
    for name in ("a", "b", "heir"):
        project.wg("add", name)
    project.wg("add", "after-a", "--after", "a")
    project.wg("add", "after-b", "--after", "b")
    project.wg("claim", "a")
    failed = project.json("fail", "a", "--reason", "can't")
    assert (failed["status"], failed["failure"]["reason"]) == ("failed", "can't")
    reasons = project.json("why", "after-a")["reasons"]
    assert reasons[0]["code"] == "dependency_failed"
    assert "wg retry a" in reasons[0]["remedy"]
    dry = project.json("retry", "--failed", "--dry-run")
    assert ([one["id"] for one in dry], dry[0]["status"]) == (["a"], "failed")
    project.wg("retry", "--failed", "--set-model", "m", "--reason", "outage")
    assert project.json("show", "a")["model"] == "m"
    assert "after-a" in project.wg("abandon", "a", "--reason", "not needed")
    project.wg("abandon", "a")
    assert project.json("show", "after-a")["ready"] is True
    assert "after-b" in project.wg("abandon", "b", "--superseded-by", "heir")
    assert project.json("show", "after-b")["after"] == [{"id": "heir", "on": "done"}]
    assert project.error("abandon", "heir", "--superseded-by", "heir")[0] == 1
    assert project.error("abandon", "heir", "--superseded-by", "nobody")[0] == 3
    project.wg("done", "heir")
    assert project.error("abandon", "heir")[0] == 1
    assert project.json("show", "after-b")["ready"] is True


def test_next_gives_the_best_and_nothing_when_there_is_none(project: Project) -> None:
    """By priority; claimed in the same step; exit 1 and silence at the end."""
    project.wg("add", "later", "--priority", "3")
    project.wg("add", "first", "--priority", "0")
    project.wg("add", "hers", "--actor", "ann")
    assert project.json("ready")[0]["id"] == "first"
    assert project.wg("next") == "first\n"
    assert project.wg("next", "--claim", "--actor", "bob") == "first\n"
    assert project.json("show", "first")["actor"] == "bob"
    assert project.wg("next", "--claim", "--actor", "bob") == "later\n"
    for options in ([], ["--json"]):
        none = project.run(*options, "next", "--claim", "--actor", "bob")
        assert (none.returncode, none.stdout) == (1, "")
    assert project.wg("next", "--actor", "ann") == "hers\n"


def test_what_workers_leave_behind_is_kept(project: Project) -> None:
    """Log from standard input, progress from 0 to 100, artifacts with their hash."""
    project.wg("add", "a")
    (project.folder / "out.txt").write_text("abc")
    assert project.run("log", "a", "-", stdin="two\nlines\n").returncode == 0
    assert "two\nlines" in [o["message"] for o in project.json("log", "a", "--list")]
    told = project.json("progress", "a", "40", "on it")
    assert (told["progress"]["percent"], told["progress"]["message"]) == (40, "on it")
    for bad in ("101", "x", "nan"):
        assert project.error("progress", "a", bad)[0] == 2, bad
    kept = project.json("artifact", "a", "out.txt", "--name", "n")["artifacts"]
    assert kept == [
        {
            "name": "n",
            "path": str(project.folder / "out.txt"),
            "sha256": "ba7816bf8f01cfea414140de5dae2223"
            "b00361a396177a9cb410ff61f20015ad",
            "size": 3,
            "agent": None,
        }
    ]
    assert project.error("artifact", "a", "nowhere")[0] == 1
    assert project.error("artifact", "nobody", "out.txt")[0] == 3
    project.wg("heartbeat", "a")
