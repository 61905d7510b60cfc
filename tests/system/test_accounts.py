"""Accounts under a real wgd: a provider's limit parks work, and it comes back alone."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.system.chats import moment
from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

TASKS = 20
RESET_S = 2
LIMITED = {
    "type": "error",
    "sessionID": "ses_1",
    "error": {
        "name": "APIError",
        "data": {
            "message": "no more for now",
            "statusCode": 429,
            "isRetryable": False,
            "responseHeaders": {"retry-after": str(RESET_S)},
        },
    },
}
WORK = (
    {"type": "text", "sessionID": "ses_1", "part": {"type": "text", "text": "Done."}},
    {
        "type": "step_finish",
        "sessionID": "ses_1",
        "part": {"reason": "stop", "tokens": {"input": 10, "output": 5}},
    },
)
BOT = """
if [ -e limited ]; then cat limited.json; exit 1; fi
cat work.json
"""
SETTINGS = """
[dispatcher]
max_agents = 8
executor = "bot"
[executors.bot]
argv = ["sh", "bot.sh"]
stream = "opencode"
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """One whose only agent is at its provider's mercy."""
    with a_project(tmp_path / "p") as made:
        (made.folder / ".wg" / "config.toml").write_text(SETTINGS)
        (made.folder / "bot.sh").write_text(BOT)
        (made.folder / "limited.json").write_text(json.dumps(LIMITED) + "\n")
        lines = "".join(json.dumps(line) + "\n" for line in WORK)
        (made.folder / "work.json").write_text(lines)
        yield made


def account(project: Project) -> dict[str, Any]:
    """How the account stands."""
    providers = project.json("service", "status")["providers"]
    return next((one for one in providers if one["account"] == "bot"), {"state": ""})


def why(project: Project) -> set[str]:
    """The codes of the reasons why the last task does not run."""
    return {one["code"] for one in project.json("why", "task-19")["reasons"]}


def test_a_limit_costs_no_attempt_and_ends_by_itself(project: Project) -> None:
    """One probe at a time; when it is over all are done, and nobody did anything."""
    (project.folder / "limited").touch()
    for number in range(TASKS):
        project.wg("add", f"task {number}")
    project.start_daemon()
    wait_for(lambda: account(project)["state"] == "limited", "the limit to be met")
    wait_for(lambda: why(project) == {"provider_limited"}, "the last to be told so")
    # who runs by now has met the limit; who is started later may find it lifted
    wait_for(lambda: not project.json("agents", "--alive"), "those to have ended")

    (project.folder / "limited").unlink()
    wait_for(
        lambda: all(task["status"] == "done" for task in project.json("list")),
        "all to be done",
    )

    agents = sorted(project.json("agents"), key=lambda one: moment(one["started_at"]))
    refused = [one for one in agents if one["outcome"] == "rate-limited"]
    met = min(moment(one["ended_at"]) for one in refused)
    first = [one for one in refused if moment(one["started_at"]) < met]
    # on a slow machine a probe or two came while it was still limited
    *probes, second = agents[len(first) : len(refused) + 2]
    assert 0 < len(first) <= 8
    assert agents[: len(refused)] == refused
    assert moment(probes[0]["started_at"]) >= max(
        moment(one["ended_at"]) for one in first
    )
    for probe, after in pairwise(probes):
        assert moment(after["started_at"]) >= moment(probe["ended_at"])
    # the others wait for the first answer of the last one, not for its end
    assert moment(second["started_at"]) > moment(probes[-1]["started_at"])
    assert len(agents) == TASKS + len(refused)
    assert {task["attempts"] for task in project.json("list")} == {1}
    assert account(project)["state"] == "ok"
