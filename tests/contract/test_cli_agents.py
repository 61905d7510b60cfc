"""CONTRACT §3.3 and §4 by real agents: environment, token, kill, stop, why."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

AGENT_KEYS = """
    id task attempt actor executor model endpoint status outcome exit_code signal pid
    started_at ended_at last_activity_at usage workspace
"""
VARIABLES = """
    WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_ATTEMPT WG_ACTOR WG_EXECUTOR WG_MODEL
    WG_TOKEN WG_PROMPT_FILE WG_WORKSPACE WG_BRANCH
"""
AT_WORK = """
env > env.txt; readlink /proc/self/fd/0 > stdin.txt; pwd > pwd.txt
wg log "half way" && wg progress 40 half && echo x > out.json &&
wg artifact out.json && wg done && touch all-said
"""
#: What an agent tries, and the exit status that it gets for it.
TRIES = [
    ("show other", 0),
    ("list", 0),
    ("why other", 0),
    ("heartbeat", 0),
    ("log --list", 0),
    ("log other --list", 0),
    ("msg hi", 0),
    ("msg --list", 0),
    ("msg other --list", 0),
    ("msg other hi", 1),
    ("msg --task other hi", 1),
    ("msg other --ack-all", 1),
    ("inbox", 0),
    ("evolve list", 0),
    ("evolve", 1),
    ("evolve --dry-run", 1),
    ("evolve review approve 1", 1),
    ("add kid", 0),
    ("add free --independent", 0),
    ("done other", 1),
    ("done --task other", 1),
    ("log other hi", 1),
    ("claim other", 1),
    ("edit --title x", 1),
    ("approve other", 1),
    ("retry other", 1),
    ("pause", 1),
    ("abandon other", 1),
    ("kill --all", 1),
    ("spawn other", 1),
    ("link other --after job", 1),
    ("config set dispatcher.max_agents 9", 1),
    ("service pause", 1),
    ("service reload", 1),
    ("service stop", 1),
    ("service stop --kill-agents", 1),
    ("service restart", 1),
]


def status_of(project: Project, task: str) -> str:
    """One bare word."""
    return project.wg("task-status", task).strip()


def wait_status(project: Project, task: str, status: str) -> None:
    """Returns when a task has that status."""
    wait_for(lambda: status_of(project, task) == status, f"{task} to be {status}")


def codes(project: Project, task: str) -> list[str]:
    """The reasons of `wg why`, each with a message and a remedy."""
    why = project.json("why", task)
    assert why["task"] == task
    assert why["running"] == (not why["reasons"])
    assert all(one["message"] and one["remedy"] for one in why["reasons"])
    return [one["code"] for one in why["reasons"]]


def test_what_an_agent_gets_and_says(tmp_path: Path) -> None:
    """Its environment is the allow-list; its task's id may be left out."""
    with a_project(tmp_path / "p", {"SECRET": "s", "LC_ALL": "C", "FOO_1": "f"}) as p:
        p.wg("config", "set", "env.pass", '["FOO_*"]')
        p.configure({"agents.kill_grace": "90s"})  # it leaves when it is through
        p.start_daemon()
        p.wg("add", "job", "--exec", AT_WORK, "--env", "MINE=a b")
        wait_for((p.folder / "all-said").exists, "the agent to be through")
        wait_for(lambda: p.json("agents")[0]["status"] == "ended", "its end")

        lines = (p.folder / "env.txt").read_text().splitlines()
        env = dict(line.split("=", 1) for line in lines)
        assert set(VARIABLES.split()) <= set(env)
        assert (env["WG_TASK_ID"], env["WG_AGENT_ID"]) == ("job", "agent-1")
        assert (env["WG_ATTEMPT"], env["WG_EXECUTOR"]) == ("1", "shell")
        assert env["PATH"].split(":")[0] == f"{p.folder}/.wg/bin"
        assert (p.folder / ".wg/bin").is_dir()
        assert [one.name for one in (p.folder / ".wg/bin").iterdir()] == ["wg"]
        assert env["TMPDIR"] not in {"", "/tmp"}
        assert (env["MINE"], env["LC_ALL"], env["FOO_1"]) == ("a b", "C", "f")
        assert "SECRET" not in env
        assert (p.folder / "stdin.txt").read_text() == "/dev/null\n"
        assert (p.folder / "pwd.txt").read_text() == f"{p.folder}\n"

        task = p.json("show", "job")
        assert (task["status"], task["progress"]["percent"]) == ("done", 40)
        assert task["progress"]["message"] == "half"
        artifact = task["artifacts"][0]
        assert (artifact["name"], artifact["size"]) == ("out.json", 2)
        assert (len(artifact["sha256"]), artifact["agent"]) == (64, "agent-1")
        log = p.json("log", "job", "--list")
        assert {"at", "by", "agent", "attempt", "kind", "message", "percent"} <= set(
            log[0]
        )
        said = [one for one in log if one["message"] == "half way"]
        assert [one["agent"] for one in said] == ["agent-1"]
        agent = p.json("agents")[0]
        assert set(agent) >= set(AGENT_KEYS.split())
        assert (agent["outcome"], agent["exit_code"]) == ("done", 0)
        folder = p.folder / ".wg/agents/agent-1"
        found = {one.name for one in folder.iterdir()}
        assert found >= {"prompt.md", "plan.json", "output.log", "run", "exit"}
        assert env["WG_TOKEN"] not in (folder / "plan.json").read_text()


def test_a_token_reaches_its_own_task_and_ends_with_it(tmp_path: Path) -> None:
    """Everything else is `forbidden`; after its end a token is refused with 4."""
    with a_project(tmp_path / "p") as p:
        (p.folder / "job.sh").write_text(
            "".join(
                f"wg --json {argv} >o 2>e; echo '{argv}' $? >> tries; cat e >> errors\n"
                for argv, _ in TRIES
            )
            + 'echo "$WG_TOKEN" > token\nwhile [ ! -e go ]; do sleep 0.05; done\n'
        )
        p.start_daemon()
        p.wg("add", "other", "--paused")
        p.wg("add", "job", "--exec", "sh job.sh")
        wait_for((p.folder / "token").exists, "the agent to have tried it all")

        tries = (p.folder / "tries").read_text().splitlines()
        assert tries == [f"{argv} {status}" for argv, status in TRIES]
        errors = (p.folder / "errors").read_text().splitlines()
        told = {json.loads(line)["error"]["code"] for line in errors}
        assert told == {"forbidden"}
        assert p.json("show", "kid")["after"] == [{"id": "job", "on": "done"}]
        assert p.json("show", "free")["after"] == []
        assert status_of(p, "job") == "in-progress"

        (p.folder / "go").touch()
        wait_status(p, "job", "done")
        wait_for(lambda: p.json("agents")[0]["status"] == "ended", "its end")
        ended = {"WG_TOKEN": (p.folder / "token").read_text().strip()}
        for argv in ("done job", "log job late", "add more", "fail job --reason x"):
            done = p.run("--json", *argv.split(), env=ended)
            assert (done.returncode, done.stdout) == (4, ""), argv
        kept = [o for o in p.json("log", "job", "--list") if o["kind"] == "late_result"]
        assert [one["message"] for one in kept] == [
            "done",
            "log: late",
            'add_task: {"title":"more"}',
            "fail: x",
        ]
        assert p.json("show", "job")["late"] == kept
        page = p.wg("show", "job")
        assert "Said after its end" in page
        assert "log: late" in page
        assert status_of(p, "job") == "done"
        assert p.run("show", "job", env=ended).returncode == 0
        assert p.run("done", "job", env={"WG_TOKEN": "never"}).returncode == 4


def test_killed_agents_leave_their_tasks_as_asked(tmp_path: Path) -> None:
    """Open and paused, ready again, or failed; no attempt is used, nothing is left."""
    with a_project(tmp_path / "p") as p:
        p.wg("service", "start", "--max-agents", "2")
        started = p.json("service", "status")
        p.wg("service", "start")
        assert p.json("service", "status")["pid"] == started["pid"]
        for name in ("a", "b", "c"):
            p.wg("add", name, "--exec", "sleep 600 & sleep 600")
        wait_status(p, "b", "in-progress")
        assert codes(p, "c") == ["no_free_slot"]
        assert codes(p, "a") == []
        p.wg("service", "pause")
        assert codes(p, "c") == ["service_paused"]

        assert p.json("kill", "agent-1")[0] | {"leftover": []} == {
            "agent": "agent-1",
            "task": "a",
            "status": "open",
            "paused": True,
            "leftover": [],
        }
        requeued = p.json("kill", "agent-2", "--requeue")[0]
        assert (requeued["status"], requeued["paused"]) == ("open", False)
        assert [p.json("show", name)["attempts"] for name in "ab"] == [0, 0]
        assert codes(p, "a") == ["paused", "service_paused"]
        p.wg("service", "resume")
        wait_status(p, "c", "in-progress")
        failed = p.json("kill", "--all", "--fail")
        assert {one["status"] for one in failed} == {"failed"}
        assert p.error("kill", "agent-99")[0] == 3
        assert p.error("kill")[0] == 2
        p.wg("retry", "--failed")
        wait_status(p, "c", "in-progress")

        p.wg("service", "stop", "--kill-agents")
        p.wg("service", "stop")
        wait_for(lambda: not p.processes(), "nobody to be left")
        task = p.json("show", "c")
        assert (task["status"], task["paused"], task["attempts"]) == ("open", False, 0)
        assert codes(p, "c") == ["daemon_not_running"]
        assert p.error("spawn", "c")[0] == 5
        stopped = p.json("service", "status")
        assert (stopped["running"], stopped["counts"]["open"]) == (False, 3)
        assert set(stopped) == set(started)


ENDS: list[tuple[str, dict[str, Any]]] = [
    ("crash", {"outcome": "crashed", "attempts": 1, "codes": ["backoff"]}),
    ("last", {"outcome": "crashed", "attempts": 1, "codes": ["attempts_exhausted"]}),
    ("slow", {"outcome": "timed-out", "attempts": 1, "codes": ["backoff"]}),
    ("gate", {"outcome": "gate", "attempts": 2, "codes": ["attempts_exhausted"]}),
    ("fails", {"outcome": "failed", "attempts": 1, "codes": ["attempts_exhausted"]}),
    ("again", {"outcome": "failed", "attempts": 1, "codes": ["backoff"]}),
]


def test_each_end_counts_as_the_contract_says(tmp_path: Path) -> None:
    """Crash, time-out, gate, verdict; and every reason why a task does not run."""
    with a_project(tmp_path / "p") as p:
        p.wg("config", "set", "retry.backoff", "10m")
        p.start_daemon()
        p.wg("add", "crash", "--exec", "kill -9 $$")
        p.wg("add", "last", "--exec", "kill -9 $$", "--max-attempts", "1")
        p.wg("add", "slow", "--exec", "sleep 99", "--timeout", "200ms")
        p.wg("add", "gate", "--exec", "true", "--verify", "false", "--max-attempts=2")
        p.wg("add", "fails", "--exec", "exit 3")
        p.wg("add", "again", "--exec", "exit 3", "--retry-on", "failure")
        p.wg("add", "review", "--exec", "true", "--review", "human")
        p.wg("add", "person", "--actor", "maria")
        p.wg("add", "nobody", "--executor", "nonsense")
        p.wg("add", "tomorrow", "--not-before", "1d")
        for name, end in ENDS:
            wait_for(lambda n=name, c=end["codes"]: codes(p, n) == c, name)  # type: ignore[misc]
            task = p.json("show", name)
            assert task["failure"]["class"] == end["outcome"], name
            assert task["attempts"] == end["attempts"], name
        wait_status(p, "review", "pending-review")
        assert codes(p, "review") == ["pending_review"]
        assert codes(p, "person") == ["assigned_to_person"]
        assert codes(p, "nobody") == ["misconfigured"]
        assert codes(p, "tomorrow") == ["not_before"]
        assert {one["signal"] for one in p.json("agents") if one["task"] == "last"} == {
            9
        }
        p.wg("approve", "review")
        assert codes(p, "review") == ["settled"]
        retried = p.json("retry", "last", "--reason", "outage")
        assert (retried["status"], retried["attempts"]) == ("open", 0)
