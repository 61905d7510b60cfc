"""Evaluators are shown what has changed in a git work tree since an attempt began."""

import json
import shutil
from pathlib import Path

import pytest

from tests.agents.test_revision import a_repository
from tests.system.project import Project, a_project, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here"),
]

#: Keeps what it is told, and answers.
JUDGE = '#!/bin/sh\ncat >"$WG_TASK_ID.prompt"\necho \'' + '{"score": 0.9}' + "'\n"


def wait_done(project: Project, task: str) -> None:
    """Returns when it is; it may not be there yet."""

    def is_so() -> bool:
        return project.run("task-status", task).stdout == "done\n"

    wait_for(is_so, f"{task} to be done")


def test_what_an_attempt_has_changed_is_judged(tmp_path: Path) -> None:
    """Committed by it or not; what is not below its folder isn't its own."""
    with a_project(tmp_path / "p") as project:
        folder = project.folder
        commit = a_repository(folder)
        program = tmp_path / "judge.sh"
        program.write_text(JUDGE, encoding="utf-8")
        program.chmod(0o755)
        project.wg("actor", "add", "eva", "--executor", "judge")
        project.configure(
            {
                "executors.judge.argv": json.dumps([str(program)]),
                "agency.auto_reward": "actor",
                "agency.evaluator": "eva",
            }
        )
        project.start_daemon()
        project.wg("add", "build", "--exec", "echo 'as it is' >kept; echo x >made")
        (folder / "below").mkdir()
        project.wg("add", "other", "--exec", "true", "--working-dir", "below")

        wait_done(project, "reward-build")
        wait_done(project, "reward-other")

        build = (folder / "reward-build.prompt").read_text(encoding="utf-8")
        other = (folder / "reward-other.prompt").read_text(encoding="utf-8")
        kept = folder / ".wg" / "agents" / "agent-1" / "revision"

        assert kept.read_text(encoding="utf-8") == f"{commit}\n"
        assert "judged changes" in build
        assert "what git says has changed in its folder" in build
        assert "> made" in build
        assert "> -as it was\n> +as it is" in build
        assert "judged changes" not in other


def test_where_there_is_no_work_tree_nothing_is_said(tmp_path: Path) -> None:
    """Nothing is kept at the start, either."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon()
        project.wg("add", "build", "--exec", "true")
        wait_done(project, "build")

        agent = project.folder / ".wg" / "agents" / "agent-1"

        assert (agent / "plan.json").exists()
        assert not (agent / "revision").exists()
