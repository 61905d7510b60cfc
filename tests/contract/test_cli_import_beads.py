"""`wg import --format beads` by real processes: what is open is worked off."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.project import Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow]

LINES = (
    {"_schema": "beads-jsonl/1"},
    {
        "_type": "issue",
        "id": "bd-1",
        "title": "An epic",
        "status": "open",
        "priority": 1,
        "issue_type": "epic",
        "created_by": "ann",
    },
    {
        "_type": "issue",
        "id": "bd-1.1",
        "title": "A part",
        "status": "open",
        "priority": 0,
        "issue_type": "bug",
        "external_ref": "gh-9",
        "dependencies": [
            {"issue_id": "bd-1.1", "depends_on_id": "bd-1", "type": "parent-child"},
            {"issue_id": "bd-1.1", "depends_on_id": "bd-2", "type": "blocks"},
        ],
    },
    {
        "_type": "issue",
        "id": "bd-2",
        "title": "Before it",
        "status": "closed",
        "priority": 2,
        "closed_at": "2026-02-01T10:00:00Z",
        "close_reason": "All there",
    },
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project of its own."""
    with a_project(tmp_path / "p") as project:
        yield project


@pytest.mark.parametrize("daemon", [True, False])
def test_issues_come_in_and_are_worked_off(project: Project, *, daemon: bool) -> None:
    """By whom they are for: the parts by agents, the epic by a person at last."""
    if daemon:
        project.start_daemon()
        project.wg("service", "pause")
    text = "".join(f"{json.dumps(line)}\n" for line in LINES)

    done = project.run("import", "-", "--format", "beads", stdin=text)

    assert (done.returncode, done.stdout) == (0, "imported 3 tasks, 2 edges\n")
    assert "line 3: 'external_ref' has no equal here" in done.stderr
    assert "line 2: epic: it is for a person to close" in done.stderr
    assert project.json("show", "bd-2")["summary"] == "All there"
    assert [one["id"] for one in project.json("ready")] == ["bd-1.1"]
    project.wg("edit", "bd-1.1", "--exec", "true")
    if daemon:
        project.wg("service", "resume")
    ran = project.run("run", "--until-idle")
    # one is open: with a daemon the other may be done before `run` looks
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.endswith("1 open, 2 done\n")
    assert project.wg("task-status", "bd-1.1") == "done\n"
    assert project.wg("task-status", "bd-1") == "open\n"
    assert project.json("next", "--actor", "ann")["id"] == "bd-1"
    project.wg("done", "bd-1")
    assert project.json("service", "status")["unfinished"] == 0

    again = project.run("import", "-", "--format", "beads", stdin=text)
    assert (again.returncode, "bd-1" in again.stderr) == (4, True)
    bad = project.run("import", "-", "--format", "beads", stdin=text + "{")
    assert (bad.returncode, "line 5" in bad.stderr) == (1, True)
