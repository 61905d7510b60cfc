"""`wg reward record`, `wg reward show` and `wg actor stats` by real processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.project import Project, a_project

#: CONTRACT §3.4, and what is told besides.
SHAPE = {
    *("task", "attempt", "actor", "score", "dimensions", "source", "by", "rubric"),
    *("notes", "at", "given", "counts"),
}
NINE = (
    *("blocking-impact", "completeness", "constraint-fidelity"),
    *("coordination-overhead", "correctness", "downstream-usability"),
    *("efficiency", "intent-fidelity", "style-adherence"),
)

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(params=["daemon", "offline"])
def any_project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project with a task that somebody has done, with a daemon or without one."""
    with a_project(tmp_path / "p") as made:
        if request.param == "daemon":
            made.start_daemon("--max-agents", "0")
        made.wg("add", "build", "--skill", "go", "--complexity", "simple")
        made.wg("claim", "build", "--actor", "ann")
        made.wg("done", "build")
        yield made


def test_an_attempt_is_judged_and_judged_again(any_project: Project) -> None:
    """By the rubric, as it is written and as JSON; one of its sources counts."""
    project = any_project
    dims = [word for name in NINE for word in ("--dim", f"{name}=0.5")]
    said = project.json(
        *("reward", "record", "build", "--score", "0.9", *dims),
        *("--source", "evaluator", "--notes", "half of it"),
    )
    assert set(said) == SHAPE
    assert (said["score"], said["given"], said["rubric"]) == (0.5, 0.9, "1")
    assert said["dimensions"] == {name.replace("-", "_"): 0.5 for name in sorted(NINE)}
    assert (said["actor"], said["attempt"], said["counts"]) == ("ann", 1, True)

    text = project.wg("reward", "record", "build", "--score", "0.8")

    assert text.splitlines()[0] == "build: attempt 1, 0.8 by operator"
    shown = project.json("reward", "show", "build")
    assert [(one["source"], one["score"], one["counts"]) for one in shown] == [
        ("evaluator", 0.5, False),
        ("operator", 0.8, True),
    ]
    assert project.json("reward", "show") == shown[::-1]
    page = project.wg("reward", "show", "build")
    assert "build attempt 1 of ann: 0.8 by operator, counts (" in page
    assert "correctness 0.5" in page
    assert "  0.9 was given\n  | half of it\n" in page
    reward = project.json("show", "build")["reward"]
    assert set(reward) == {"score", "dimensions", "by"}
    assert reward["score"] == 0.8
    assert project.json("list")[0]["reward"] == reward
    assert "Reward: 0.8 by " in project.wg("show", "build")
    log = project.wg("log", "build", "--list")
    assert "reward_recorded 0.5 by evaluator: half of it" in log
    assert project.json("actor", "stats")["rows"] == []
    exported = project.wg("export")
    kinds = [json.loads(line)["kind"] for line in exported.splitlines()]
    assert kinds.count("reward") == 2
    assert project.wg("check") == ""


def test_notes_are_read_from_standard_input(any_project: Project) -> None:
    """As all long texts are."""
    project = any_project
    project.wg(
        "reward", "record", "build", "--score", "1", "--notes", "-", stdin="long\ntext"
    )
    [one] = project.json("reward", "show", "build")
    assert one["notes"].strip() == "long\ntext"


def test_what_can_not_be_exits_with_its_reason(any_project: Project) -> None:
    """Usage 2, not there 3, the rest 1 or 4, each with a remedy where there is one."""
    project = any_project
    project.wg("add", "new")
    project.wg("add", "busy")
    project.wg("claim", "busy")
    for argv, status, said in (
        ("reward record build", 2, "neither a score nor"),
        ("reward record build --score 80", 2, "the score: 80 is not between 0 and 1"),
        ("reward record build --score nan", 2, "nan is not between 0 and 1"),
        ("reward record build --dim correctness", 2, "it has to be NAME=X"),
        ("reward record build --dim correctness=1.1", 2, "correctness: 1.1 is not"),
        ("reward record build --score 1 --source checks", 2, "what workgraph itself"),
        ("reward record build --source flip", 2, "neither a score nor"),
        ("reward record build --score 1 --attempt 7", 3, "no attempt 7 at build"),
        ("reward record nope --score 1", 3, "no task 'nope'"),
        ("reward record new --score 1", 1, "nobody has worked on new"),
        ("reward record busy --score 1", 4, "attempt 1 at busy is not over"),
        ("reward show nope", 3, "no task 'nope'"),
        ("actor stats nobody", 3, "no actor 'nobody'"),
        ("actor stats --by moon", 2, "--by: 'moon'"),
    ):
        code, error = project.error(*argv.split())
        assert code == status, (argv, error)
        assert said in error["message"], argv
        assert error["hint"], argv
    assert project.json("reward", "show") == []


def test_an_actor_has_a_record(tmp_path: Path) -> None:
    """Of what its agents did, by skill, by source, and overridden by an operator."""
    with a_project(tmp_path / "p") as project:
        actor = {"kind": "actor", "name": "ann", "skills": ["go"]}
        (project.folder / "who").write_text(json.dumps(actor))
        project.wg("import", "who")
        options = ("--skill", "go", "--complexity", "simple", "--actor", "ann")
        project.wg("add", "build", "--exec", "true", *options)
        project.wg("run", "--until-idle")

        project.wg("reward", "record", "build", "--score", "0.9", "--source", "judge")
        project.wg("reward", "record", "build", "--score", "0.6")

        stats = project.json("actor", "stats", "ann", "--by", "skill")
        assert (stats["rubric"], stats["level"]) == ("1", 90)
        total, go = stats["rows"]
        assert (total["name"], total["skill"], total["count"]) == ("ann", None, 1)
        assert (go["skill"], go["complexity"], go["mean"]) == ("go", "simple", 0.6)
        assert total["low"] < 0.6 < total["high"]
        [over] = stats["overrides"]
        assert (over["operator"], over["evaluator"]) == (0.6, 0.9)
        assert over["difference"] == pytest.approx(-0.3)
        by_source = project.json("actor", "stats", "--by", "source")["rows"]
        assert [(one["source"], one["mean"]) for one in by_source] == [
            ("judge", 0.9),
            ("operator", 0.6),
        ]
        text = project.wg("actor", "stats", "--by", "skill")
        assert "go simple" in text
        assert "on ann: 0.6 where evaluators said 0.9 (-0.3, 1 attempt)" in text
