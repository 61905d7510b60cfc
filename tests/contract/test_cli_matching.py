"""CONTRACT §6 by `wg match`: every actor for a task, with and without a daemon."""

import json
from pathlib import Path

import pytest

from tests.system.project import a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

ACTOR = '{"kind":"actor","name":"%s","skills":["%s"],"human":%s}\n'


def test_every_actor_for_a_task_is_shown_with_and_without_a_daemon(
    tmp_path: Path,
) -> None:
    """The same by both: text, explained, and as JSON."""
    with a_project(tmp_path) as project:
        lines = tmp_path / "actors.jsonl"
        lines.write_text(
            ACTOR % ("ada", "sql", "false")
            + ACTOR % ("bob", "css", "false")
            + ACTOR % ("ann", "sql", "true"),
            encoding="utf-8",
        )
        project.wg("import", str(lines))
        project.wg("add", "Job", "--id", "job", "--skill", "sql", "--paused")

        offline = project.wg("match", "job", "--explain")
        told = json.loads(project.wg("match", "job", "--json"))["data"]
        project.wg("service", "start")

        assert project.wg("match", "job", "--explain") == offline
        assert json.loads(project.wg("match", "job", "--json"))["data"] == told
        assert [(one["actor"], one["capable"], one["propensity"]) for one in told] == [
            ("ada", True, 1.0),
            ("default", True, 0.0),
            ("ann", True, 0.0),
            ("bob", False, 0.0),
        ]
        assert {"missing", "score", "parts", "reason", "busy"} <= told[0].keys()
        assert offline.startswith("attempt 1 would go to ada, chosen with 100 %")
        assert "it lacks sql" in project.wg("match", "job")
