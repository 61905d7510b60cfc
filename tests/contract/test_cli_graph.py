"""CONTRACT §3.1 and §3.4 by real processes: add, edit, link, list, import, export."""

import json
import re
from pathlib import Path

import pytest

from tests.system.project import Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Each key of a task that CONTRACT §3.4 promises.
PROMISED = """
    id title description status ready paused priority after before tags
    requires_skills prefers_skills complexity inputs outputs context_files artifacts
    prompt exec executor model endpoint tools working_dir env verify review actor
    agent attempts max_attempts retry_on retry_at timeout_s abandon_after_s
    not_before failure progress usage reward estimate_s created_at started_at
    completed_at updated_at
"""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def served(project: Project) -> Project:
    """The same project with a daemon that starts nothing."""
    project.start_daemon("--max-agents", "0")
    return project


def refused(project: Project, *argv: str) -> tuple[int, str, str]:
    """Exit status, code and hint; plain and as JSON they are the same error."""
    status, error = project.error(*argv)
    plain = project.run(*argv)
    said = plain.stderr.splitlines()
    assert (plain.returncode, plain.stdout) == (status, ""), argv
    assert said[0] == f"wg: {error['message']}", argv
    assert said[1:] == ([f"hint: {error['hint']}"] if error["hint"] else []), argv
    return status, error["code"], error["hint"]


@pytest.mark.parametrize("daemon", [True, False])
def test_ids_are_made_or_given_and_unique(tmp_path: Path, *, daemon: bool) -> None:
    """From the title, at most 64, with -2 and -3; the machinery's are refused."""
    with a_project(tmp_path / "p") as project:
        if daemon:
            served(project)
        assert project.wg("add", "Parse: the CONFIG!") == "parse-the-config\n"
        assert project.wg("add", "parse the config") == "parse-the-config-2\n"
        assert project.wg("add", "Parse/the/config") == "parse-the-config-3\n"
        assert project.wg("add", "b" * 90) == "b" * 64 + "\n"
        assert project.wg("add", "b" * 90) == "b" * 62 + "-2\n"
        assert project.wg("add", "x", "--id", "a" * 64) == "a" * 64 + "\n"
        assert not project.wg("add", "assign-it").startswith("assign-")
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*\n", project.wg("add", "日本語"))
        for bad in ("assign-a", "reward-a", ".a", "A", "a" * 65, "-a", "a b", ""):
            assert project.run("add", "x", f"--id={bad}").returncode in {1, 2}, bad
        taken = refused(project, "add", "x", "--id", "parse-the-config")
        assert taken[:2] == (4, "conflict")
        unknown = refused(project, "add", "x", "--after", "parse-the-confg")
        assert unknown[:2] == (3, "not_found")
        assert "parse-the-config" in unknown[2]
        assert refused(project, "add", "")[0] in {1, 2}


def test_every_option_of_add_is_stored_shown_and_edited(tmp_path: Path) -> None:
    """What `add` sets `show` has, and `edit` changes."""
    with a_project(tmp_path / "p") as project:
        served(project)
        project.wg("add", "first", "--id", "first", "--output", "data.json")
        options = (
            "-d TEXT --after first --tag t1 --tag t2 --priority 0 --skill s --prefer p"
            " --complexity complex --input first:data.json --output o --context-file c"
            " --prompt P --executor claude --model m --endpoint e --tool gh"
            " --working-dir w --env A=b --verify true --review human --max-attempts 5"
            " --retry-on failure --timeout 90s --stall-timeout 2m --abandon-after 1d"
            " --independent --not-before 2h --paused --actor ann --estimate 30m"
            " --budget-tokens 7 --budget-usd 1.5 --context-scope graph"
        )
        task = project.json("add", "all of it", "--id", "all", *options.split())

        assert task == project.json("show", "all") == project.json("list")[1]
        assert set(task) >= set(PROMISED.split())
        expected = {
            "id": "all",
            "title": "all of it",
            "description": "TEXT",
            "status": "open",
            "ready": False,
            "paused": True,
            "priority": 0,
            "after": [{"id": "first", "on": "done"}],
            "before": [],
            "tags": ["t1", "t2"],
            "requires_skills": ["s"],
            "prefers_skills": ["p"],
            "complexity": "complex",
            "inputs": ["first:data.json"],
            "outputs": ["o"],
            "context_files": ["c"],
            "prompt": "P",
            "exec": None,
            "executor": "claude",
            "model": "m",
            "endpoint": "e",
            "tools": ["gh"],
            "working_dir": "w",
            "env": {"A": "b"},
            "verify": ["true"],
            "review": "human",
            "actor": "ann",
            "agent": None,
            "attempts": 0,
            "max_attempts": 5,
            "retry_on": "failure",
            "timeout_s": 90,
            "stall_timeout_s": 120,
            "abandon_after_s": 86400,
            "estimate_s": 1800,
            "failure": None,
            "progress": None,
            "reward": None,
            "started_at": None,
            "completed_at": None,
            "artifacts": [],
        }
        assert {key: task[key] for key in expected} == expected
        assert set(task["usage"]) == {"input_tokens", "output_tokens", "cost_usd"}
        for key in ("created_at", "updated_at", "not_before"):
            assert MOMENT.fullmatch(task[key]), key
        assert project.json("show", "first")["before"] == ["all"]

        change = (
            "--add-tag t3 --remove-tag t1 --add-skill z --remove-skill s"
            " --priority 4 --timeout 1h --no-paused --not-before 0s --title new"
        )
        changed = project.json("edit", "all", *change.split())
        assert (changed["tags"], changed["requires_skills"]) == (["t2", "t3"], ["z"])
        assert (changed["priority"], changed["timeout_s"]) == (4, 3600)
        assert (changed["title"], changed["paused"]) == ("new", False)
        edited = project.json("edit", "all", "--remove-after", "first", "--input", "f")
        assert edited["after"] == []
        assert project.json("edit", "all", "--add-after", "first")["after"] == [
            {"id": "first", "on": "done"}
        ]
        done = project.run("edit", "all", "-d", "-", stdin="from\nstdin\n")
        assert done.returncode == 0
        assert project.json("show", "all")["description"] == "from\nstdin"


WRONG = [
    "--priority 5",
    "--priority x",
    "--timeout 5",
    "--not-before soon",
    "--env 1A=b",
    "--env A",
    "--env WG_TOKEN=x",
    "--max-attempts 0",
    "--budget-usd -1",
    "--budget-usd nan",
    "--complexity hard",
    "--retry-on never",
    "--review me",
    "--context-scope all",
    "--bogus",
    "--priority",
]


def test_wrong_usage_exits_2_and_changes_nothing(tmp_path: Path) -> None:
    """One line, a remedy, nothing on stdout."""
    with a_project(tmp_path / "p") as project:
        served(project)
        before = project.json("add", "a task", "--id", "t")
        for options in WRONG:
            assert refused(project, "edit", "t", *options.split())[0] == 2, options
        for argv in ("add", "add a b", "edit", "show", "nonsense", "service", "log t"):
            assert refused(project, *argv.split())[0] == 2, argv
        assert refused(project, "shwo")[2].startswith("did you mean show?")
        assert project.json("show", "t") == before
        for argv in ("show", "edit", "why", "task-status", "claim", "done", "abandon"):
            status, code, hint = refused(project, argv, "tt")
            assert (status, code, hint) == (3, "not_found", "did you mean t?"), argv


def test_edges_know_cycles_and_kinds(tmp_path: Path) -> None:
    """A cycle is refused and shown; `settled` is met by a failure, too."""
    with a_project(tmp_path / "p") as project:
        served(project)
        for name, *after in (("a",), ("b", "a"), ("c", "b")):
            project.wg(
                "add", name, *[word for dep in after for word in ("--after", dep)]
            )
        status, error = project.error("link", "a", "--after", "c")
        assert status == 1
        assert "c -> a -> b -> c" in error["message"]
        assert refused(project, "link", "a", "--after", "a")[0] == 1
        assert refused(project, "link", "a", "--after", "zz")[0] == 3
        assert refused(project, "unlink", "a", "--after", "zz")[0] == 3
        assert refused(project, "link", "c", "--after", "a", "--on", "x")[0] == 2
        linked = project.json("link", "c", "--after", "a", "--on", "settled")
        assert {"id": "a", "on": "settled"} in linked["after"]
        assert project.json("unlink", "c", "--after", "b")["after"] == [
            {"id": "a", "on": "settled"}
        ]
        assert [t["id"] for t in project.json("ready")] == ["a"]
        assert [t["id"] for t in project.json("blocked")] == ["b", "c"]
        project.wg("claim", "a")
        project.wg("fail", "a", "--reason", "no")
        assert [t["id"] for t in project.json("ready")] == ["c"]
        codes = {reason["code"] for reason in project.json("why", "b")["reasons"]}
        assert "dependency_failed" in codes
        found = project.run("--json", "check")
        assert found.returncode == 1
        assert [f["code"] for f in json.loads(found.stdout)["data"]] == ["unreachable"]
        released = project.wg("abandon", "a")
        assert "b" in released
        assert {t["id"] for t in project.json("ready")} == {"b", "c"}


@pytest.mark.parametrize("daemon", [True, False])
def test_an_import_is_whole_or_nothing(tmp_path: Path, *, daemon: bool) -> None:
    """A bad line is named, whatever is bad about it; then nothing came in."""
    good = '{"kind":"task","title":"good"}'
    bad = {
        '{"title":': 1,
        "[]": 1,
        '{"kind":"nonsense"}': 1,
        '{"kind":"task"}': 1,
        '{"kind":"task","title":5}': 1,
        '{"kind":"task","title":"t","after":["nobody"]}': 3,
        '{"kind":"task","title":"t","id":"taken"}': 4,
        '{"kind":"task","title":"t","id":"UPPER"}': 1,
        '{"kind":"task","title":"t","after":["t"],"id":"t"}': 1,
    }
    with a_project(tmp_path / "p") as project:
        project.wg("add", "x", "--id", "taken")
        if daemon:
            served(project)
        file = project.folder / "in.jsonl"
        for line, status in list(bad.items())[:: 1 if daemon else 5]:
            file.write_text(f"{good}\n{good}\n{line}\n")
            code, error = project.error("import", "in.jsonl")
            assert (code, "line 3" in error["message"]) == (status, True), (line, error)
        file.write_bytes(good.encode() + b"\n\xff\xfe\n")
        code, error = project.error("import", "in.jsonl")
        assert (code, "line 2" in error["message"]) == (1, True)
        assert [task["id"] for task in project.json("list")] == ["taken"]
        for argv in (
            "import /nowhere",
            "import .",
            "export /nowhere/x",
            "backup /no/x",
        ):
            assert refused(project, *argv.split())[0] == 1, argv

        lines = [
            '{"kind":"task","title":"two","id":"two","after":["one"],"odd":1}',
            '{"kind":"task","title":"one","id":"one","status":"in-progress"}',
        ]
        done = project.run("import", "-", stdin="\n".join(lines))
        assert (done.returncode, done.stdout) == (0, "imported 2 tasks, 1 edge\n")
        assert "odd" in done.stderr
        assert project.json("show", "one")["status"] == "open"
        assert project.json("show", "two")["after"] == [{"id": "one", "on": "done"}]
        assert project.wg("export") == project.wg("export", "-")
        assert project.wg("export", "out.jsonl") == ""
        assert project.wg("export", "/dev/null") == ""
        assert Path("/dev/null").is_char_device()
        assert (project.folder / "out.jsonl").read_text() == project.wg("export")


ODD = [
    [""],
    ["", ""],
    ["--", ""],
    ["--"],
    ["show", ""],
    ["show", "a\x1b[31m\nb"],
    ["show", "a" * 100_000],
    ["log", "", ""],
    ["kill", ""],
    ["config", "get", ""],
    ["list", "--tag", "\x07"],
    ["--dir"],
    ["--dir", ""],
    ["--dir", "/nowhere", "list"],
    ["progress", "t", "nan"],
    ["progress", "t", "--", "-1"],
    ["artifact", "t", ""],
    ["watch", "--since", "99999999999999999999"],
    ["add", "x", "--id", "\0".replace("\0", "\\0")],
    ["help", "nothing"],
    ["retry", "--tag", "x"],
    ["service", "start", "--set", "="],
]


@pytest.mark.parametrize("daemon", [True, False])
def test_odd_words_give_a_line_and_never_a_traceback(
    tmp_path: Path, *, daemon: bool
) -> None:
    """Whatever argv holds: no traceback, no defect, no control characters."""
    with a_project(tmp_path / "p") as project:
        if daemon:
            served(project)
        for argv in ODD if daemon else ODD[::3]:
            done = project.run(*argv)
            said = done.stdout + done.stderr
            assert done.returncode in range(6), (argv, said)
            assert "Traceback" not in said, argv
            assert "defect" not in said, (argv, said)
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said), argv
        raw = project.run("add", b"\xff".decode("utf-8", "surrogateescape"))
        assert (raw.returncode, raw.stdout) == (2, "")


def test_help_is_on_every_command(tmp_path: Path) -> None:
    """`--help`, `wg help`, and the version."""
    with a_project(tmp_path / "p") as project:
        served(project)
        text = project.wg("help")
        assert text == project.wg("--help")
        names = re.findall(r"^  ([a-z-]+)  ", text.split("Commands:")[1], re.MULTILINE)
        assert {"init", "add", "watch", "doctor", "service", "config"} <= set(names)
        for name in (*names[::6], "service"):
            assert project.wg("help", name) == project.wg(name, "--help"), name
        assert re.fullmatch(r"wg \d\S*\n", project.wg("--version"))
