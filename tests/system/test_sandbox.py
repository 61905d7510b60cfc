"""The sandbox by real bwrap: what is seen inside, what comes out, what is refused."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    # In CI it is installed: there its lack is a failure, seen by the first test.
    pytest.mark.skipif(
        not shutil.which("bwrap") and "CI" not in os.environ,
        reason="bwrap is not installed: apt-get install bubblewrap",
    ),
]

#: What an agent finds out about the world around it, a line each.
LOOK = (Path(__file__).parent / "look_around.sh").read_text()


ROOT = Path(__file__).parents[2]


@contextmanager
def an_enclosed_project(folder: Path, sandbox: str = "") -> Iterator[Project]:
    """A project whose agents are enclosed, with secrets around it."""
    (folder / "outside").mkdir()
    (folder / "outside" / "file").touch()
    env = {
        "OUTSIDE": str(folder / "outside"),
        "HOST_PID": str(os.getpid()),
        "MY_SECRET": "hunter2-hunter2",
    }
    with a_project(folder / "p", env) as made:
        home = Path(made.env["HOME"]) / ".ssh"
        home.mkdir()
        (home / "id").write_text("secret")
        text = f"""
[sandbox]
kind = "bwrap"
{sandbox}
[dispatcher]
max_agents = 20
[retry]
max_attempts = 1
[env]
pass = ["OUTSIDE", "HOST_PID", "MY_SECRET"]
"""
        (made.folder / ".wg" / "config.toml").write_text(text)
        yield made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One with a daemon, for all tests that need no other."""
    with an_enclosed_project(tmp_path_factory.mktemp("sandbox")) as made:
        made.start_daemon()
        yield made


def status_of(project: Project, task: str) -> str:
    """One bare word."""
    return project.wg("task-status", task).strip()


def wait_end(project: Project, task: str) -> dict[str, Any]:
    """Waits until a task is over, and gives its last agent, which has ended.

    The task is over with the agent's word; the agent itself has its grace to leave.
    """
    wait_for(lambda: status_of(project, task) in {"done", "failed"}, f"{task}'s end")
    wait_for(
        lambda: agents_of(project, task)[-1]["status"] == "ended", "its agent's end"
    )
    return agents_of(project, task)[-1]


def agents_of(project: Project, task: str) -> list[dict[str, Any]]:
    """All attempts at a task."""
    return [one for one in project.json("agents") if one["task"] == task]


def output_of(project: Project, agent: dict[str, Any]) -> str:
    """What an agent printed."""
    return project.wg("output", agent["id"])


def folder_of(project: Project, agent: dict[str, Any]) -> Path:
    """Where an agent's files are kept."""
    return project.folder / ".wg" / "agents" / str(agent["id"])


def sleepers(project: Project, seconds: str) -> list[int]:
    """What sleeps that long in a sandbox of this project."""
    mark = os.fsencode(project.folder)
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_one = (
                (entry / "cmdline")
                .read_bytes()
                .startswith(f"sleep\0{seconds}".encode())
            )
            if is_one and mark in (entry / "mountinfo").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_what_is_seen_inside(project: Project) -> None:
    """The workspace, the system to read, and hardly anything else."""
    project.wg("add", "look", "--exec", LOOK)

    agent = wait_end(project, "look")

    assert agent["outcome"] == "done", output_of(project, agent)
    lines = (project.folder / "seen.txt").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert int(seen.pop("processes")) < 12
    assert "lo" in seen.pop("interfaces").split()
    # On the way to the project, and to workgraph itself where that is there, too.
    ways = {path.parts[2] for path in (project.folder, ROOT) if path.parts[1] == "tmp"}
    assert set(seen.pop("tmp").split()) <= ways
    home, wg_dir = Path(project.env["HOME"]), project.folder / ".wg"
    assert not (home / "x").exists(), "the home is one of its own"
    assert not (wg_dir / "x").exists()
    assert (folder_of(project, agent) / "tmp" / "x").exists()
    assert (project.folder / "made-inside").exists()
    assert seen == {
        "home-secret": "no",
        "outside": "no",
        "outside-write": "no",
        "usr-write": "no",
        "etc-write": "no",
        "root-write": "no",
        "sysctl-write": "no",
        "workspace-write": "yes",
        "tmpdir-write": "yes",
        "home-write": "yes",
        "wg": "agents bin ",
        "wg-write": "no",
        "agents": f"{agent['id']} ",
        "graph": "no",
        "run": "workgraph ",
        "host-process": "no",
        "first": shutil.which("bwrap"),
        "folders-open": "0",
        "secret-in-argv": "0",
        "secret": "hunter2-hunter2",
        "prompt": "yes",
        "caps": "0000000000000000",
    }


def test_ends_come_through(project: Project) -> None:
    """A code is a code and a signal a signal, of the program inside."""
    hows = {
        "exit 0": (0, None, "done"),
        "exit 7": (7, None, "failed"),
        "exit 137": (137, None, "failed"),
        "kill -KILL $$": (None, signal.SIGKILL, "crashed"),
        "kill -TERM $$": (None, signal.SIGTERM, "crashed"),
    }
    tasks = {how: project.wg("add", f"end {how}", "--exec", how) for how in hows}

    for how, task in tasks.items():
        agent = wait_end(project, task.strip())

        end = (agent["exit_code"], agent["signal"], agent["outcome"])
        assert end == hows[how], how
        kept = (folder_of(project, agent) / "run").read_text().split("\n")
        assert kept[1:3] == ["sandbox", "entered"]


def test_what_runs_is_the_plan(project: Project) -> None:
    """`wg plan`, plan.json and the process have the same arguments."""
    os.mkfifo(project.folder / "plan-go")
    project.wg("add", "plan", "--exec", "touch plan-up; cat plan-go", "--paused")
    planned = project.json("plan", "plan")
    project.wg("resume", "plan")
    wait_for((project.folder / "plan-up").exists, "the agent to run")

    [agent] = agents_of(project, "plan")
    kept = json.loads((folder_of(project, agent) / "plan.json").read_text())
    running = []
    for pid in project.processes():
        with suppress(OSError):  # `touch` may just be leaving
            cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
            running.append(cmdline.decode().split("\0")[:-1])
    (project.folder / "plan-go").write_text("")

    argv = [part.replace("<agent>", agent["id"]) for part in planned["argv"]["value"]]
    assert argv == kept["argv"]["value"]
    assert argv in running
    assert kept["sandbox"] == {"value": "bwrap", "source": "local [sandbox].kind"}
    assert kept["argv"]["source"] == "task.exec, in bwrap (local [sandbox].kind)"
    assert wait_end(project, "plan")["outcome"] == "done"


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_kill_ends_everything_inside(
    project: Project, options: tuple[str, ...]
) -> None:
    """What was forked away and took a session of its own as well."""
    task = f"killed{''.join(options)}"
    away = (
        "setsid sh -c 'env -i sh -c \"sleep 1000 & exec sleep 1000\"' >/dev/null 2>&1 &"
    )
    project.wg("add", "--id", task, task, "--exec", f"{away} exec sleep 1000")
    wait_for(lambda: len(sleepers(project, "1000")) == 3, "all of it to run")
    [agent] = agents_of(project, task)

    project.wg("kill", agent["id"], *options)

    assert sleepers(project, "1000") == []
    [agent] = agents_of(project, task)
    assert (agent["outcome"], agent["leftover"]) == ("killed", [])


def test_what_is_told_to_end_gets_its_grace(project: Project) -> None:
    """TERM reaches the program, and not what keeps the sandbox up."""
    script = """
    trap 'echo tidied >tidy; exit 0' TERM
    touch grace-up
    while :; do sleep 0.1; done
    """
    project.wg("add", "grace", "--exec", script)
    wait_for((project.folder / "grace-up").exists, "the agent to run")
    [agent] = agents_of(project, "grace")

    project.wg("kill", agent["id"])

    assert (project.folder / "tidy").read_text() == "tidied\n"
    assert agents_of(project, "grace")[0]["exit_code"] == 0


def test_what_is_left_inside_ends_with_the_program(project: Project) -> None:
    """At a good end, too."""
    away = "setsid env -i sleep 1003 >/dev/null 2>&1 </dev/null & "
    project.wg("add", "left", "--exec", f"{away} exit 0")

    assert wait_end(project, "left")["outcome"] == "done"
    wait_for(lambda: sleepers(project, "1003") == [], "the rest to be gone")


def test_gates_are_enclosed_too(project: Project) -> None:
    """With no socket: without a token it would speak as the operator."""
    look = (
        'test ! -e "$OUTSIDE" && test ! -e /run/workgraph && test -w . && '
        'test ! -e "$WG_DIR/graph.db" && touch "$TMPDIR/x" && touch verified'
    )
    project.wg("add", "gated", "--exec", "true", "--verify", look)

    wait_end(project, "gated")

    assert status_of(project, "gated") == "done", project.wg("log", "gated", "--list")
    assert (project.folder / "verified").exists()


def test_what_is_handed_on_is_seen_inside(project: Project) -> None:
    """The copies that are its inputs, to be read; no others, and not to be changed.

    What an output's name leads to outside is not recorded with it.
    """
    make = (
        "echo one >one && wg artifact one && echo two >two && wg artifact two; rm one"
    )
    project.wg("add", "makes", "--exec", make)
    wait_end(project, "makes")
    kept = {
        one["name"]: f".wg/artifacts/{one['sha256']}"
        for one in project.json("show", "makes")["artifacts"]
    }
    look = (
        f"cat {kept['one']} >seen; test ! -e {kept['two']} && ! echo x >{kept['one']}"
        ' && ln -s "$OUTSIDE/file" leak'
    )
    project.wg(
        "add", "reads", "--exec", look, "--input", "makes:one", "--output", "leak"
    )

    assert wait_end(project, "reads")["outcome"] == "done"

    assert (project.folder / "seen").read_text() == "one\n"
    assert project.json("show", "reads")["artifacts"] == []
    assert "outside the workspace" in project.wg("log", "reads", "--list")


def test_what_an_agent_inside_may_not_say(project: Project) -> None:
    """The ways out that other tasks would be; files outside, links followed."""
    script = """
    ln -s "$OUTSIDE/file" link
    for words in "--exec x" "--verify x" "--env A=b" "--executor shell" "--endpoint e" \
        "--working-dir /" "--input /etc/passwd" "--output ../x" "--context-file link"
    do wg add no $words 2>>said; echo "$words: $?" >>codes; done
    wg artifact link 2>>said; echo "artifact: $?" >>codes
    setsid env -i PATH="$PATH" WG_DIR="$WG_DIR" WG_SOCKET="$WG_SOCKET" \\
        wg service pause 2>>shed; echo "shed: $?" >>codes
    wg add yes --independent --paused --output made.txt; echo "yes: $?" >>codes
    """
    project.wg("add", "says", "--exec", script)

    wait_end(project, "says")

    codes = (project.folder / "codes").read_text().splitlines()
    assert [line.rsplit(": ")[1] for line in codes] == ["1"] * 11 + ["0"], codes
    said = (project.folder / "said").read_text()
    assert said.count("is in a sandbox") + said.count("an agent in a sandbox") == 10
    assert "shows no token" in (project.folder / "shed").read_text()
    assert not project.json("service", "status")["paused"]


def test_the_socket_works_after_a_restart_too(tmp_path: Path) -> None:
    """The sandbox sees its folder; `wg` waits inside while there is no daemon.

    There is no graph inside on which it could work offline.
    """
    with an_enclosed_project(tmp_path) as project:
        daemon = project.start_daemon()
        script = """
        wg log one; touch up; cat go; touch gone
        until from=$(date +%s); wg done; do echo $(($(date +%s) - from)) >>waited; done
        echo said 0
        """
        project.wg("add", "t", "--exec", script)
        os.mkfifo(project.folder / "go")
        wait_for((project.folder / "up").exists, "the agent to run")
        project.kill_daemon(daemon)
        (project.folder / "go").write_text("go")
        wait_for((project.folder / "gone").exists, "the agent to say done")

        project.start_daemon()

        assert wait_end(project, "t")["outcome"] == "done"
        wait_for(
            lambda: "said 0" in output_of(project, {"id": "agent-1"}), "its answer"
        )
        said = [one["message"] for one in project.json("log", "t", "--list")]
        assert "one" in said
        waited = project.folder / "waited"
        # None here, where a daemon comes up in less than the ten seconds of `wg`.
        tries = waited.read_text().split() if waited.exists() else []
        assert all(int(seconds) >= 9 for seconds in tries), tries


def test_without_network_there_is_only_lo(tmp_path: Path) -> None:
    """And the socket of the daemon, which is a file."""
    with an_enclosed_project(tmp_path, 'network = "none"') as project:
        project.start_daemon()
        show = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' >net; wg done"
        project.wg("add", "t", "--exec", show)

        assert wait_end(project, "t")["outcome"] == "done"
        assert (project.folder / "net").read_text().split() == ["lo"]
        plan = json.loads((project.folder / ".wg/agents/agent-1/plan.json").read_text())
        assert plan["network"] == {"value": "none", "source": "local [sandbox].network"}
        assert "--unshare-net" in plan["argv"]["value"]


def test_it_is_refused_where_it_can_not_be_had(tmp_path: Path) -> None:
    """No fallback and no attempt used; what fails at the start is no verdict."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to(str(shutil.which("sh")))
    with an_enclosed_project(tmp_path) as project:
        project.env["PATH"] = f"{project.env['PATH'].split(':')[0]}:{tools}"
        project.start_daemon()
        project.wg("add", "t", "--exec", "echo up >up")

        def reasons() -> list[dict[str, str]]:
            return list(project.json("why", "t")["reasons"])

        wait_for(lambda: reasons()[0]["code"] == "misconfigured", "the plan's verdict")
        [reason] = reasons()
        assert "bwrap is not installed" in reason["message"]
        assert "apt-get install bubblewrap" in reason["remedy"]
        assert project.json("agents") == []
        assert any("bwrap" in one for one in project.json("plan", "t")["problems"])

        fake = tools / "bwrap"
        real = shutil.which("bwrap")
        broken = (
            f'test ! -e {tmp_path}/broken || {{ echo "bwrap: no room" >&2; exit 1; }}'
        )
        fake.write_text(f'#!/bin/sh\n{broken}\nexec {real} "$@"\n')
        fake.chmod(0o755)
        project.wg("service", "reload")
        assert wait_end(project, "t")["outcome"] == "done"
        assert project.json("show", "t")["attempts"] == 1

        (tmp_path / "broken").touch()
        project.wg("add", "u", "--exec", "true")
        agent = wait_end(project, "u")
        assert agent["outcome"] == "spawn-failed"
        assert agent["reason"] == "its sandbox could not be made: bwrap: no room"
