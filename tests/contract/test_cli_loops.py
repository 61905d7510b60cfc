"""`wg loop` and `wg done --converged` by real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_cli_service import a_connection
from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(params=["daemon", "offline"])
def any_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project, with a daemon that starts nothing or without one."""
    with a_project(tmp_path / "p") as made:
        if request.param == "daemon":
            made.start_daemon("--max-agents", "0")
        yield made


def test_a_person_works_a_loop_off(any_project: Project) -> None:
    """Show, why and the log say where it stands; the end is told."""
    project = any_project
    for task in ("a", "b"):
        project.wg("add", task)
    assert project.run("loop", "a", "b").returncode == 2
    made = project.json("loop", "a", "b", "--max", "2", "--until-converged")
    assert [one["id"] for one in made] == ["a", "b"]
    assert made[1]["after"] == [{"id": "a", "on": "done"}]
    assert made[0]["loop"]["members"] == ["a", "b"]
    project.wg("done", "a", "--summary", "one")
    why = project.wg("why", "a")
    assert "settled: it is done in iteration 1 of 2 of its loop" in why
    assert project.json("done", "b")["status"] == "open"
    assert "\nLoop: iteration 2 of 2 of a, b, until a member" in project.wg("show", "a")
    project.wg("done", "a", "--converged")
    done = project.json("done", "b")
    assert done["status"] == "done"
    assert (done["loop"]["reason"], done["loop"]["converged"]) == ("converged", ["a"])
    kinds = [
        one["kind"]
        for one in project.json("log", "b", "--list")
        if one["kind"].startswith("loop_")
    ]
    assert kinds == ["loop_started", "loop_iterated", "loop_ended"]


def test_refusals_have_a_remedy(any_project: Project) -> None:
    """2 for what is no loop, 1 for what can't be in one, 3 for what is not there."""
    project = any_project
    project.wg("add", "a")
    project.wg("add", "x", "--after", "a")
    project.wg("add", "b")
    for argv, status in (
        ("loop a --max 0", 2),
        ("loop a --max 2000", 2),
        ("loop a --max x", 2),
        ("loop a a --max 2", 2),
        ("loop a --max 2 --until true --until-converged", 2),
        ("loop nobody --max 2", 3),
        ("loop a --end", 1),
        ("loop a b --max 2", 1),
    ):
        code, error = project.error(*argv.split())
        assert code == status, (argv, error)
        assert error["hint"] or "'x'" in error["message"], (argv, error)
    project.wg("loop", "a", "--max", "2")
    assert project.run("loop", "a", "--end").stdout == (
        "a: loop: ended after iteration 1 of 2, of a\n"
    )
    done = project.run("done", "b", "--converged")
    assert (done.returncode, done.stdout) == (0, "b: done\n")
    assert done.stderr == "b is in no loop: --converged changes nothing\n"


def test_the_socket_says_the_same(tmp_path: Path) -> None:
    """A line of JSON makes a loop, a member's word ends it."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon("--max-agents", "0")
        project.wg("add", "a")
        asked = (
            {"cmd": "loop", "task": "a", "max": 3, "until_converged": True},
            {"cmd": "done", "task": "a"},
            {"cmd": "done", "task": "a", "converged": True},
        )

        with a_connection(project) as say:
            answers = [say(one) for one in asked]

        assert [one["ok"] for one in answers] == [True, True, True]
        data = [one["data"] for one in answers]
        assert data[0][0]["loop"]["max"] == 3
        assert data[1]["status"] == "open"
        assert (data[2]["status"], data[2]["loop"]["reason"]) == ("done", "converged")


def test_shell_tasks_run_until_a_command_succeeds(tmp_path: Path) -> None:
    """A counter, a test of it, and somebody who waits for the end; wg run says so."""
    with a_project(tmp_path / "p") as project:
        count = "n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) >n"
        project.wg("add", "count", "--exec", count, "--paused")
        project.wg("add", "look", "--exec", "cat n >>seen")
        project.wg(
            "loop", "count", "look", "--max", "9", "--until", "test $(cat n) -ge 3"
        )
        project.wg("add", "after", "--after", "look", "--exec", "cp n result")
        project.wg("resume", "count")

        done = project.run("run", "--until-idle")

        assert done.returncode == 0, done.stderr
        assert (project.folder / "result").read_text() == "3\n"
        assert (project.folder / "seen").read_text() == "1\n2\n3\n"
        loop = project.json("show", "count")["loop"]
        assert (loop["iteration"], loop["reason"]) == (3, "condition met")
        first = (project.folder / "first.jsonl", project.folder / "second.jsonl")
        project.wg("export", str(first[0]))
        with a_project(tmp_path / "q") as other:
            other.wg("import", str(first[0]))
            other.wg("export", str(first[1]))
        assert first[0].read_bytes() == first[1].read_bytes()


def test_a_loop_outlives_a_killed_daemon(tmp_path: Path) -> None:
    """KILL while the command runs: it is run again, and the story goes on."""
    with a_project(tmp_path / "p") as project:
        project.wg("add", "a", "--exec", "echo x >>ran", "--paused")
        command = "touch asked; test -e go || sleep 600; test $(wc -l <ran) -ge 2"
        project.wg("loop", "a", "--max", "3", "--until", command)
        project.wg("resume", "a")
        daemon = project.start_daemon()
        wait_for((project.folder / "asked").exists, "the command to run")
        project.kill_daemon(daemon)
        (project.folder / "go").touch()

        project.start_daemon()

        wait_for(lambda: project.wg("task-status", "a") == "done\n", "the end")
        loop = project.json("show", "a")["loop"]
        assert (loop["iteration"], loop["reason"]) == (2, "condition met")
        told = [one["kind"] for one in project.json("log", "a", "--list")]
        assert told.count("loop_iterated") == 1
