"""Real clients: they do the work of tasks, and call `wg` themselves."""

import json
from pathlib import Path

import pytest

from tests.system.clients import (
    a_client_project,
    a_mock,
    agents_of,
    script,
    words_of,
)
from tests.system.project import Project, wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(400)]

#: Long ones are not in the short form.
CLIENTS = [
    "claude",
    "codex",
    pytest.param("gemini", marks=pytest.mark.long),
    pytest.param("opencode", marks=pytest.mark.long),
]
PATIENCE_S = 120.0


def settled(project: Project, task: str, status: str = "done") -> None:
    """Returns when the task has that status and its agents are gone."""

    def is_so() -> bool:
        ended = all(row["status"] == "ended" for row in agents_of(project, task))
        return project.json("show", task)["status"] == status and ended

    try:
        wait_for(is_so, f"{task} to be {status}", PATIENCE_S)
    except AssertionError as error:
        message = f"{error}\n{words_of(project, task)}"
        raise AssertionError(message) from error


@pytest.mark.parametrize("client", CLIENTS)
def test_an_agent_does_its_task_and_says_so(tmp_path: Path, client: str) -> None:
    """It logs, records a file and finishes, each by `wg` from its own shell."""
    steps = script(
        {"shell": "wg log 'half way'"},
        {
            "shell": "echo made > made.txt && wg artifact made.txt",
            "usage": {"input": 1000, "output": 50, "cached": 400},
        },
        {"shell": "wg done --summary 'it is made'"},
        {"text": "All is done."},
    )
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        project.start_daemon()
        task = project.wg("add", "make it", "-d", steps, "--executor", client).strip()
        settled(project, task)

        shown = project.json("show", task)
        (agent,) = agents_of(project, task)
        entries = project.json("log", task, "--list")
        plan = json.loads(
            (project.folder / f".wg/agents/{agent['id']}/plan.json").read_text()
        )

        assert agent["outcome"] == "done"
        assert shown["summary"] == "it is made"
        assert [one["name"] for one in shown["artifacts"]] == ["made.txt"]
        said = [x for x in entries if x["agent"] == agent["id"]]
        assert "half way" in [x["message"] for x in said]
        assert [one["turn"] for one in mock.requests()] == [0, 1, 2, 3]
        served = mock.served(client)
        used = shown["usage"] | {"cached_tokens": shown["cached_tokens"]}
        assert {key: used[key] for key in served} == served
        assert (shown["usage"]["cost_usd"] is None) == (client in {"codex", "gemini"})
        assert plan["account"]["value"] == client
        assert plan["permissions"]["value"] == "edits"
        wait_for(lambda: not project.processes(), "nothing of it to be left")


@pytest.mark.long
@pytest.mark.parametrize("client", ["claude", "codex", "gemini", "opencode"])
def test_who_may_only_read_can_still_say_so(tmp_path: Path, client: str) -> None:
    """Under `readonly` nothing of the project is changed, and `wg` works."""
    steps = script(
        {"shell": "echo changed > kept.txt"},
        {"shell": "wg log 'looked at it'"},
        {"shell": "wg done --summary 'it is so'"},
        {"text": "All is done."},
    )
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        (project.folder / "kept.txt").write_text("as it was")
        project.start_daemon("--set", "agents.permissions=readonly")
        task = project.wg("add", "look", "-d", steps, "--executor", client).strip()
        settled(project, task)

        assert (project.folder / "kept.txt").read_text() == "as it was"
        entries = project.json("log", task, "--list")
        assert "looked at it" in [entry["message"] for entry in entries]
        wait_for(lambda: not project.processes(), "nothing of it to be left")


def test_six_tasks_of_two_chains_that_meet(tmp_path: Path) -> None:
    """Claude and codex in turn; each gets what those before it have made."""
    chains = {
        "a1": ("claude", ()),
        "a2": ("codex", ("a1",)),
        "b1": ("codex", ()),
        "b2": ("claude", ("b1",)),
        "meet": ("claude", ("a2", "b2")),
        "last": ("codex", ("meet",)),
    }
    with (
        a_mock() as mock,
        a_client_project(tmp_path / "p", mock, "claude", "codex") as project,
    ):
        project.start_daemon()
        for task, (client, after) in chains.items():
            sources = " ".join(f"{one}.txt" for one in after) or "/dev/null"
            steps = script(
                {"shell": f"wg log 'begin {task}'"},
                {"shell": f"(cat {sources}; echo {task}) > {task}.txt"},
                {"shell": f"wg artifact {task}.txt"},
                {"shell": f"wg done --summary 'made {task}'"},
                {"text": "Done."},
            )
            options = [word for one in after for word in ("--after", one)]
            project.wg(
                *("add", task, "--id", task, "-d", steps),
                *("--executor", client, *options),
            )
        settled(project, "last")

        agents = [agents_of(project, task) for task in chains]
        whole = (project.folder / "last.txt").read_text().split()

        assert [(one["executor"], one["outcome"]) for (one,) in agents] == [
            (client, "done") for client, _ in chains.values()
        ]
        assert whole == ["a1", "a2", "b1", "b2", "meet", "last"]
        assert [project.json("show", task)["artifacts"][0]["name"] for task in chains]
        wait_for(lambda: not project.processes(), "nothing of it to be left")


@pytest.mark.long
@pytest.mark.parametrize("client", ["claude", "codex"])
def test_a_budget_stops_it_and_more_of_it_lets_it_go_on(
    tmp_path: Path, client: str
) -> None:
    """In the same session."""
    steps = script(
        {"shell": "wg log 'it begins'"},
        {"shell": "tail -f /dev/null", "usage": {"input": 9_800, "output": 80}},
        {"shell": "wg done --summary 'it is made'"},
        {"text": "All is done."},
    )
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        project.start_daemon()
        task = project.wg(
            *("add", "make it", "-d", steps, "--executor", client),
            *("--budget-tokens", "1000"),
        ).strip()
        settled(project, task, "open")

        (agent,) = agents_of(project, task)
        told = words_of(project, task)
        codes = [one["code"] for one in project.json("why", task)["reasons"]]
        project.wg("edit", task, "--budget-tokens", "1000000")
        wait_for(lambda: len(agents_of(project, task)) == 2, "it to go on")
        (_, again) = agents_of(project, task)
        project.wg("done", task)

        assert agent["outcome"] == "budget"
        assert agent["usage"]["input_tokens"] == 9_900, told
        assert codes == ["budget_exhausted"]
        assert again["resumed"]
        assert again["session"] == agent["session"]
        assert project.json("show", task)["attempts"] == 1


def test_codex_does_not_disturb_codex(tmp_path: Path) -> None:
    """Several in one folder: the commands' sandboxes know of each other.

    They do by a register in TMPDIR. Without it one command in a hundred fails.
    """
    steps = script({"shell": "echo in $TMPDIR"}, {"text": "Done."})
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "codex") as project:
        for word, place in (("edits", "/tmp"), ("readonly", ".wg/tmp")):
            project.start_daemon("--set", f"agents.permissions={word}")
            project.wg("add", word, "--id", word, "-d", steps, "--executor", "codex")
            settled(project, word)
            project.wg("service", "stop")

            (agent,) = agents_of(project, word)
            said = project.wg("output", agent["id"])
            assert f"in {project.folder / place}" in said, said
