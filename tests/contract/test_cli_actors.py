"""`wg role`, `tradeoff` and `actor` by real processes, with a daemon and without."""

import json
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


def test_identities_from_beginning_to_end(any_project: Project) -> None:
    """Ids alone on standard output, words beside; whole ids in JSON."""
    p = any_project
    first = p.wg("role", "add", "coder", "-d", "writes code", "--skill", "python")
    again = p.run("role", "add", "coder", "-d", "writes code", "--skill", "python")
    assert (again.stdout, again.returncode) == (first, 0)
    assert "is so already" in again.stderr
    careful = p.json(
        *("tradeoff", "add", "careful", "-d", "slow", "--accept", "time"),
        *("--reject", "no tests", "--reject", "lost data"),
    )
    assert careful["reject"] == ["no tests", "lost data"]
    assert len(careful["id"]) == 64
    ann = p.json(
        *("actor", "add", "ann", "--role", first.strip(), "--tradeoff"),
        *(careful["id"][:12], "--trust", "verified", "--context-limit", "50000"),
        *("--capacity", "2", "--executor", "codex", "--usd-per-hour", "1.5"),
    )
    assert ann["role"].startswith(first.strip())
    assert ann["skills"] == ["python"]
    assert ann["record"] == {"count": 0, "mean": None, "low": None, "high": None}
    assert ann["lineage"]["parents"] == []

    p.wg("role", "edit", "coder", "--add-skill", "sql")
    edited = p.run("actor", "edit", "ann", "--role", "coder", "--capacity", "")
    assert "wg actor edit ann --add-skill sql" in edited.stdout
    now = p.json("actor", "show", "ann")
    assert now["lineage"] == {
        "parents": [ann["id"]],
        "generation": 1,
        "by": ann["lineage"]["by"],
    }
    assert (now["capacity"], now["trust"]) == (None, "verified")
    chain = [one["id"] for one in p.json("actor", "lineage", "ann")]
    assert chain == [now["id"], ann["id"]]
    assert [one["name"] for one in p.json("actor", "list")] == ["ann", "default"]
    assert len(p.json("actor", "list", "--all")) == 3
    page = p.wg("tradeoff", "show", "careful")
    assert "Hard constraints:\n  no tests\n  lost data\n" in page
    p.wg("actor", "rm", "ann")
    assert p.wg("role", "rm", "coder") == "coder: removed\n"
    assert p.json("tradeoff", "list")[0]["actors"] == []


def test_each_refusal_has_its_status_and_a_remedy(any_project: Project) -> None:
    """1 what can't be, 2 what is no command, 3 what is not there, 4 what is taken."""
    p = any_project
    p.wg("role", "add", "coder", "-d", "writes code")
    p.wg("actor", "add", "ann", "--role", "coder")
    for argv, status in (
        (("role", "add", "coder"), 2),
        (("role", "add", "x", "-d", ""), 1),
        (("role", "add", "agent-3", "-d", "d"), 1),
        (("role", "add", "dev", "-d", "writes code"), 4),
        (("role", "rm", "coder"), 1),
        (("role", "show", "codr"), 3),
        (("actor", "add", "ann"), 4),
        (("actor", "add", "bob", "--role", "nobody"), 3),
        (("actor", "add", "bob", "--capacity", "0"), 2),
        (("actor", "add", "bob", "--trust", "much"), 2),
        (("actor", "edit", "bob", "--human"), 3),
        (("actor", "lineage", "zzz"), 3),
        (("actor", "rm", ""), 3),
    ):
        refused = p.run(*argv, "--json")
        assert (refused.returncode, refused.stdout) == (status, ""), argv
        error = json.loads(refused.stderr)["error"]
        assert error["message"], argv
        assert error["hint"], argv
    hint = p.run("role", "show", "codr").stderr
    assert "did you mean coder?" in hint


def test_starters_and_completion_of_a_person(any_project: Project) -> None:
    """`init` says what it adds; a person's task is offered and claimed."""
    p = any_project
    said = p.wg("actor", "init")
    assert "actor programmer: " in said
    assert "wg config set agency.evaluator evaluator" in said
    assert "all starters are there already" in p.wg("actor", "init")
    p.wg("actor", "add", "me", "--human")
    p.wg("add", "mine", "--actor", "me")
    assert p.wg("next", "--actor", "me").strip() == "mine"
    assert [one["task"] for one in p.json("inbox", "--actor", "me")] == ["mine"]
    p.wg("claim", "mine", "--actor", "me")
    assert p.run("actor", "rm", "me").returncode == 1
    p.wg("done", "mine")
    p.wg("actor", "rm", "me")


def test_an_export_takes_versions_along(tmp_path: Path) -> None:
    """To the byte; lineage and all."""
    with a_project(tmp_path / "p") as p, a_project(tmp_path / "other") as other:
        p.wg("actor", "init")
        p.wg("tradeoff", "edit", "careful", "--add-reject", "haste")
        p.wg("actor", "rm", "quick-programmer")
        text = p.wg("export")
        (tmp_path / "file").write_text(text)

        other.wg("import", str(tmp_path / "file"))

        assert other.wg("export") == text
        lineage = other.json("tradeoff", "lineage", "careful")
        assert len(lineage) == 2


def test_lines_of_json_do_the_same(tmp_path: Path) -> None:
    """On the socket; a token may read and nothing else."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon("--max-agents", "0")
        with a_connection(p) as say:
            made = say({"cmd": "add_role", "name": "r", "description": "d"})
            assert made["ok"], made
            actor = {"cmd": "add_actor", "name": "a", "role": "r", "human": True}
            assert say(actor)["data"]["role"] == made["data"]["id"]
            edited = say({"cmd": "edit_actor", "actor": "a", "context_limit": None})
            assert edited["ok"], edited
            wrong = say({"cmd": "edit_actor", "actor": "a", "capacity": "x"})
            assert wrong["error"]["code"] == "bad_request"
            assert say({"cmd": "actor", "actor": "a"})["error"]["code"] == (
                "unknown_command"
            )
            assert [one["name"] for one in say({"cmd": "roles"})["data"]] == ["r"]


def test_a_machine_that_is_added_starts_what_waits_for_it(tmp_path: Path) -> None:
    """Within a second of the command, with nothing else happening."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon()
        p.wg("add", "work", "--exec", "true", "--actor", "ann")
        p.wg("add", "mine", "--exec", "true", "--actor", "me")
        p.wg("actor", "add", "me", "--human")

        p.wg("actor", "add", "ann")

        wait_for(lambda: p.json("show", "work")["status"] == "done", "work")
        assert p.json("show", "mine")["status"] == "open"
