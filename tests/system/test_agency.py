"""CONTRACT §6 from outside: who does it, who judges it, and what nobody may do himself.

Real daemons, real processes, real commands; what a rule needs of a fake clock or of a
reactor's inside is in `tests/engine` and `tests/reactors`.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system import chats
from tests.system.project import PATIENCE_S, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

MATCH: Final = {"actor": str, "capable": bool, "missing": list, "parts": dict}
ACTOR: Final = {
    "id": str,
    "name": str,
    "human": bool,
    "skills": list,
    "trust": str,
    "lineage": dict,
    "record": dict,
}
#: Null where nothing is said.
ACTOR_NULLS: Final = {
    *("role", "tradeoff", "context_limit", "capacity", "executor", "model"),
}
REWARD: Final = {
    "task": str,
    "attempt": int,
    "actor": str,
    "score": float,
    "dimensions": dict,
    "source": str,
    "by": str,
    "rubric": str,
    "at": str,
}
SHELL: Final = "#!/bin/sh\n"
#: Of any: keeps what it is told.
KEEP: Final = 'cat >"$WG_TASK_ID-$WG_ATTEMPT.prompt"\n'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose tasks are done by a program that only ends well."""
    with a_project(tmp_path / "p") as made:
        an_executor(made, "worker", "exit 0")
        made.configure({"dispatcher.executor": "worker", "retry.backoff": "1ms"})
        yield made


def an_executor(project: Project, name: str, text: str) -> None:
    """A program that keeps its prompt, as an executor."""
    program = project.folder / f"{name}.sh"
    program.write_text(SHELL + KEEP + text + "\n", encoding="utf-8")
    program.chmod(0o755)
    argv = json.dumps([str(program)])
    project.configure({f"executors.{name}.argv": argv})


def status(project: Project, task: str) -> str:
    """The status of a task; empty while it is not there."""
    return project.run("task-status", task).stdout.strip()


def wait_status(
    project: Project, task: str, *wanted: str, patience_s: float = PATIENCE_S
) -> None:
    """Waits until it has one of these."""
    wait_for(
        lambda: status(project, task) in wanted, f"{task} to be {wanted}", patience_s
    )


def reason(project: Project, task: str) -> dict[str, str]:
    """The only reason why it is not running."""
    (found,) = project.json("why", task)["reasons"]
    assert isinstance(found, dict)
    assert found["remedy"], found
    return found


def ids(project: Project, *argv: str) -> set[str]:
    """The tasks of a list."""
    return {one["id"] for one in project.json(*argv)}


def runs(project: Project, task: str) -> list[tuple[Any, ...]]:
    """Who has worked on it, and how it ended."""
    found = project.json("show", task)["runs"]
    return [(one["actor"], one["outcome"]) for one in found]


def switches(pid: int) -> int:
    """How often all threads of a process have gone to sleep."""
    found = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            for line in (thread / "status").read_text(encoding="utf-8").splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    found += int(line.split()[1])
    return found


# Who does it.


def test_what_nobody_can_do_costs_nothing_and_starts_within_a_second(
    project: Project,
) -> None:
    """Nothing is committed and nobody wakes up for it while it waits."""
    project.wg("actor", "rm", "default")
    project.wg("actor", "add", "ada", "--skill", "python")
    daemon = project.start_daemon()
    project.wg("add", "a", "--skill", "cobol", "--exec", "true")
    wait_for(lambda: reason(project, "a")["code"] == "no_capable_actor", "its reason")
    before = project.wg("log", "a", "--list")

    def is_quiet() -> bool:
        began, since = switches(daemon.pid), time.monotonic()
        wait_for(lambda: time.monotonic() - since > 2, "two seconds")
        # two each second, however long the machine took to come back to us
        return switches(daemon.pid) - began <= 2 * (time.monotonic() - since)

    wait_for(lambda: is_quiet() and is_quiet(), "it to be quiet", 100)
    assert project.wg("log", "a", "--list") == before

    took: list[float] = []
    for name, skill in (("bob", "cobol"), ("cy", "ada"), ("di", "lisp"), ("eve", "c")):
        if took:
            project.wg("add", name, "--skill", skill, "--exec", "true")
        project.wg("actor", "add", name, "--skill", skill)
        came = time.time()
        task = name if took else "a"
        wait_status(project, task, "done")
        (run,) = project.json("show", task)["runs"]
        assert run["actor"] == name
        took.append(chats.moment(run["started_at"]) - came)
        if took[-1] < 1:
            break
    # of several on a machine that may stand still for a moment
    assert min(took) < 1, took


def test_the_first_person_takes_no_work(project: Project) -> None:
    """`default` goes on doing all; a person's task waits for that person."""
    project.wg("actor", "add", "me", "--human")
    project.start_daemon()
    project.wg("add", "a")
    project.wg("add", "b", "--actor", "me")

    wait_status(project, "a", "done")

    assert runs(project, "a") == [("default", "done")]
    assert reason(project, "b")["code"] == "assigned_to_person"
    assert project.json("next", "--actor", "me", "--claim")["id"] == "b"
    assert runs(project, "b") == [("me", None)]
    (me,) = [one for one in project.json("match", "b") if one["actor"] == "me"]
    assert (me["capable"], me["chosen"]) == (True, False)


def asking(project: Project, text: str) -> None:
    """Has an actor say who does it; two could."""
    an_executor(project, "chooser", text)
    for name in ("ada", "bob"):
        project.wg("actor", "add", name, "--skill", "python")
    project.wg("actor", "add", "chief", "--executor", "chooser")
    project.configure({"agency.auto_assign": "actor", "agency.assigner": "chief"})


@pytest.mark.parametrize("how", ["wg assign a bob", """echo '{"actor": "bob"}'"""])
def test_an_assigner_holds_it_back_and_is_heeded(project: Project, how: str) -> None:
    """By its token or by its last line; what it made is nowhere in the way."""
    asking(project, f"while [ ! -e go ]; do sleep 0.05; done\n{how}")
    project.start_daemon()
    project.wg("add", "a", "--skill", "python")

    wait_status(project, "assign-a", "in-progress")
    assert reason(project, "a")["code"] == "awaiting_assignment"
    assert ids(project, "list") == {"a"}
    assert ids(project, "list", "--all") == {"a", "assign-a"}
    assert project.json("show", "a")["after"] == [{"id": "assign-a", "on": "settled"}]
    assert ids(project, "blocked") == {"a"}
    assert ids(project, "ready") == set()
    assert project.json("service", "status")["ready"] == 0
    (project.folder / "go").touch()
    wait_status(project, "a", "done")

    assert runs(project, "a") == [("bob", "done")]
    assert runs(project, "assign-a") == [("chief", "done")]
    prompt = (project.folder / "assign-a-1.prompt").read_text()
    assert all(name in prompt for name in ("ada", "bob", "python"))
    assert ids(project, "list", "--all") == {"a", "assign-a"}


@pytest.mark.parametrize(
    ("how", "tries"),
    [
        ("exit 1", 3),
        ("kill -9 $$", 3),
        ("echo I like them all", 3),
        ("""echo '{"actor": "nobody"}'""", 3),
        ("wg assign b ada; wg assign a me; wg done", None),
        ("not there", 0),
        ("removed", 0),
    ],
)
def test_an_assigner_never_blocks_work(
    project: Project, how: str, tries: int | None
) -> None:
    """It fails, talks nonsense or is gone: matching decides."""
    asking(project, how)
    project.wg("actor", "add", "me", "--human", "--skill", "python")
    project.wg("add", "b", "--paused")
    if how == "not there":
        project.configure({"agency.assigner": "nobody"})
    elif how == "removed":
        project.wg("actor", "rm", "chief")
    project.wg("add", "a", "--skill", "python")

    project.run("run", "--until-idle")

    ((actor, outcome),) = runs(project, "a")
    assert actor in {"ada", "bob"}
    assert outcome == "done"
    assert project.json("show", "b")["actor"] is None
    if tries:
        assert len(runs(project, "assign-a")) == tries
    elif tries == 0:
        assert ids(project, "list", "--all") == {"a", "b"}


# How well it was done.


def test_a_hundred_tasks_are_a_hundred_nodes(project: Project) -> None:
    """With `match` and `checks`; each was judged once."""
    project.configure({"agency.auto_reward": "checks", "dispatcher.max_agents": "8"})
    tasks = [
        {
            "kind": "task",
            "id": f"t{n}",
            "title": "t",
            "exec": "true",
            "verify": ["true"],
        }
        for n in range(100)
    ]
    project.wg("import", "-", stdin="\n".join(map(json.dumps, tasks)))

    project.wg("run", "--until-idle")

    there = project.json("list", "--all")
    assert len(there) == 100
    assert {(one["status"], one["actor"]) for one in there} == {("done", "default")}
    assert {one["reward"]["score"] for one in there} == {1.0}
    assert project.json("actor", "show", "default")["record"]["count"] == 100
    assert project.wg("check") == ""


def judging(project: Project, text: str, **more: str) -> None:
    """Has an actor judge what is done."""
    an_executor(project, "judge", text)
    project.wg("actor", "add", "eva", "--executor", "judge")
    project.configure({"agency.auto_reward": "actor", "agency.evaluator": "eva"})
    project.configure({f"agency.{key}": value for key, value in more.items()})


def test_what_the_machinery_makes_is_not_in_the_way(project: Project) -> None:
    """An evaluator that fails is no failure of `wg run`; nothing is made for it."""
    judging(project, "exit 1")
    project.wg("add", "a")

    done = project.run("run", "--until-idle")

    assert done.returncode == 0, done
    assert status(project, "reward-a") == "failed"
    assert ids(project, "list") == {"a"}
    assert ids(project, "list", "--all") == {"a", "reward-a"}
    assert project.json("reward", "show", "a") == []
    assert project.json("show", "a")["reward"] is None


def test_done_and_failed_work_is_judged_and_nothing_else_is(project: Project) -> None:
    """In both modes `actor` at once: neither errand gets one of its own."""
    asking(project, """echo '{"actor": "ada"}'""")
    said = '{"score": 1.0, "dimensions": {"correctness": 0.25, "efficiency": 0.75}}'
    judging(project, f"echo '{said}'")
    project.wg("add", "good", "--skill", "python")
    project.wg("add", "bad", "--skill", "python", "--exec", "exit 3")

    assert project.run("run", "--until-idle").returncode == 1

    assert ids(project, "list", "--all") == {
        f"{made}{task}"
        for task in ("good", "bad")
        for made in ("", "assign-", "reward-")
    }
    for task, end in (("good", "done"), ("bad", "failed")):
        assert runs(project, task) == [("ada", end)]
        (reward,) = project.json("reward", "show", task)
        assert {key: type(reward[key]) for key in REWARD} == REWARD
        assert (reward["score"], reward["given"]) == (0.375, 1.0)
        assert (reward["source"], reward["by"]) == ("evaluator", "eva")
        assert runs(project, f"reward-{task}") == [("eva", "done")]
    assert project.json("show", "good")["reward"] == {
        "score": 0.375,
        "dimensions": {"correctness": 0.25, "efficiency": 0.75},
        "by": "eva",
    }
    assert project.json("actor", "show", "ada")["record"]["count"] == 2


def test_nine_dimensions_and_flips_four_are_shown_by_source(project: Project) -> None:
    """Those of FLIP make .795, and never count; what was given is kept."""
    project.wg("add", "a")
    project.wg("run", "--until-idle")
    nine = {
        "blocking_impact": 0.1,
        "completeness": 0.2,
        "constraint_fidelity": 0.3,
        "coordination_overhead": 0.4,
        "correctness": 0.5,
        "efficiency": 0.6,
        "downstream_usability": 0.7,
        "intent_fidelity": 0.8,
        "style_adherence": 0.9,
    }
    four = {
        "semantic_match": 0.95,
        "requirement_coverage": 0.7,
        "specificity_match": 0.65,
        "hallucination_rate": 0.25,
    }

    def dims(values: Mapping[str, float]) -> list[str]:
        return [word for k, v in values.items() for word in ("--dim", f"{k}={v}")]

    record = ("reward", "record", "a")
    project.wg(*record, "--score", "1", *dims(nine), "--source", "evaluator")
    project.wg(*record, "--source", "flip", "--score", "0.2", *dims(four))

    by_source = {one["source"]: one for one in project.json("reward", "show", "a")}
    assert by_source["evaluator"]["dimensions"] == nine
    assert (by_source["evaluator"]["score"], by_source["evaluator"]["given"]) == (
        0.49,
        1.0,
    )
    assert by_source["flip"]["dimensions"] == four
    assert (by_source["flip"]["score"], by_source["flip"]["given"]) == (0.795, 0.2)
    assert project.json("show", "a")["reward"]["score"] == 0.49
    page = project.wg("reward", "show", "a")
    for name, value in (nine | four).items():
        assert f"{name} {value:g}" in page
    assert "0.795 by flip" in page
    # Nobody has to know the name of the source.
    assert project.json(*record, *dims(four))["source"] == "flip"


def test_below_it_is_open_with_notes_and_above_it_is_done(project: Project) -> None:
    """An attempt is judged by what was said of that attempt."""
    said = '{"dimensions": {"correctness": %s}, "notes": "mind the gap"}'
    judging(
        project,
        f"case $WG_TASK_ID in reward-a) echo '{said % 0.69}' ;;"
        f" *) while [ ! -e go ]; do sleep 0.05; done; echo '{said % 0.7}' ;; esac",
        reward_gate="enforcing",
    )
    project.start_daemon()
    project.wg("add", "a")

    wait_status(project, "reward-a-2", "in-progress")
    assert status(project, "a") == "pending-review"
    assert reason(project, "a")["code"] == "pending_review"
    (project.folder / "go").touch()
    wait_status(project, "a", "done")

    assert runs(project, "a") == [("default", "gate"), ("default", "done")]
    assert "mind the gap" in (project.folder / "a-2.prompt").read_text()
    assert ids(project, "list", "--all") == {"a", "reward-a", "reward-a-2"}
    found = project.json("reward", "show", "a")
    assert [(one["attempt"], one["score"]) for one in found] == [(1, 0.69), (2, 0.7)]


def test_the_gate_never_opens_by_itself(project: Project) -> None:
    """Three crashes: a person's, with the reason; `wg approve` ends it."""
    judging(project, "kill -9 $$", reward_gate="enforcing")
    project.start_daemon()
    project.wg("add", "a")

    wait_status(project, "reward-a", "failed")

    assert len(runs(project, "reward-a")) == 3
    assert status(project, "a") == "pending-review"
    why = reason(project, "a")
    assert why["code"] == "pending_review"
    assert "evaluator" in why["message"]
    project.wg("approve", "a")
    assert status(project, "a") == "done"


def test_a_worker_cannot_pass_its_own_gate(project: Project) -> None:
    """Not by `approve`, a reward or an assignment, with its token or without it."""
    tries = (
        *("approve a", "reward record a --score 1", "reward run a", "assign a ada"),
        *("reward record a --score 1 --source evaluator", "assign a --clear"),
        *("config set agency.reward_gate off", "edit a --verify true", "retry a"),
        *("actor add x", "actor edit ada --skill z", "role add r -d d --outcome o"),
        *("evolve", "evolve review approve 1", "reward run --canary cases"),
    )
    calls = "".join(
        f"{how}wg --json {words} >>said 2>&1; echo $? >>codes\n"
        for words in tries
        for how in ("", "env -u WG_TOKEN ")
    )
    an_executor(project, "cheat", f"{calls}wg done; {calls}exit 0")
    project.configure({"agents.kill_grace": "100s"})  # it leaves when it is through
    project.wg("actor", "add", "ada", "--executor", "cheat")
    project.start_daemon()
    project.wg("add", "a", "--actor", "ada", "--review", "human")

    wait_status(project, "a", "pending-review", patience_s=100)
    wait_for(lambda: not project.json("agents", "--alive"), "it to end", 100)

    codes = (project.folder / "codes").read_text().split()
    assert len(codes) == 4 * len(tries)
    assert set(codes[: 2 * len(tries)]) == {"1"}, (tries, codes)
    assert set(codes) <= {"1", "4"}  # its token may have ended with `wg done`
    errors = (project.folder / "said").read_text().splitlines()
    told = {json.loads(line)["error"]["code"] for line in errors}
    assert told <= {"forbidden", "conflict"}, told
    assert project.json("reward", "show", "a") == []
    assert project.json("show", "a")["actor"] == "ada"


# What is told.


def test_shapes(project: Project) -> None:
    """CONTRACT §3.4: these keys are there, with these types."""
    project.wg("actor", "add", "ada", "--skill", "python")
    project.wg("add", "a", "--skill", "python", "--prefer", "sql")
    project.wg("actor", "add", "zoe", "--human")

    rows = project.json("match", "a")

    for row in rows:
        assert {key: type(row[key]) for key in MATCH} == MATCH
        assert row["score"] is None if row["missing"] else row["score"] < 1
        assert all(type(part) is float for part in row["parts"].values())
    assert [row["actor"] for row in rows] == ["ada", "default", "zoe"]
    assert [row["missing"] for row in rows] == [[], [], ["python"]]
    assert set(rows[0]["parts"]) >= {
        *("preferred", "record", "complexity", "context", "load", "cost"),
    }
    for actor in (*project.json("actor", "list"), project.json("actor", "show", "ada")):
        assert {key: type(actor[key]) for key in ACTOR} == ACTOR
        assert {key for key in ACTOR_NULLS if actor[key] is not None} == set()
        assert set(actor["lineage"]) == {"parents", "generation", "by"}
        assert actor["record"] == {"count": 0, "mean": None, "low": None, "high": None}
    assert project.json("show", "a")["reward"] is None


def test_the_same_content_is_the_same_id_everywhere(tmp_path: Path) -> None:
    """On two machines, for ever, in any order; one hard constraint more is another.

    One of them has a daemon.
    """
    found = []
    for place in ("here", "there"):
        with a_project(tmp_path / place) as made:
            if place == "there":
                made.start_daemon("--max-agents", "0")
            made.wg(
                *("role", "add", "coder", "-d", "Writes code", "--outcome", "It runs"),
                *("--skill", "sql", "--skill", "python"),
            )
            bold = ("tradeoff", "add", "bold", "-d", "Fast", "--accept", "mess")
            made.wg(*bold, "--reject", "lost data")
            maker = ("actor", "add", "--role", "coder", "--tradeoff")
            made.wg(*maker, "bold", "ada")
            made.wg(
                *("tradeoff", "add", "bolder", "-d", "Fast", "--accept", "mess"),
                *("--reject", "lost data", "--reject", "a red test"),
            )
            made.wg(*maker, "bolder", "bob")
            made.wg("actor", "edit", "bob", "--tradeoff", "bold")
            made.wg("actor", "edit", "bob", "--tradeoff", "bolder")
            role = made.json("role", "show", "coder")
            made.wg("role", "edit", "coder", "-d", "Writes good code")
            changed = made.json("role", "show", "coder")
            assert changed["lineage"]["parents"] == [role["id"]]
            assert role["id"][:8] in made.wg("role", "lineage", "coder")
            ada = made.json("actor", "show", "ada")
            for prefix in (ada["id"], ada["id"][:8], ada["id"][:6]):
                assert made.json("actor", "show", prefix)["name"] == "ada"
            traits = {one["name"]: one["id"] for one in made.json("tradeoff", "list")}
            assert traits["bold"] != traits["bolder"]
            found.append((role["id"], changed["id"], traits, ada["id"]))

    assert found[0] == found[1]
    assert (found[0][0], found[0][2]["bold"], found[0][3]) == GOLDEN


#: SHA-256 of the fields as canonical JSON: sorted keys, no blanks, UTF-8.
GOLDEN: Final = (
    "dddff94bd343303d651ee1ad8ba45efbfdc29fb884aba4d154d97d509d8f44ed",
    "0700c5c610ae2be2df6e44bdf58bdcf40cca2fa797821e5dba65967957b25400",
    "612db45cf97df8c0a2a3569b0fad82b13b6ae77d159d71e0f40ff869f59050c9",
)
