"""Agents that try what they may not, with real processes; gates; other users."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Ways for an agent to leave its token behind; each begins a command line.
DISGUISES = {
    "a sibling's token": 'env WG_TOKEN="$(cat sibling-token)"',
    "no token": "env -u WG_TOKEN",
    "no name": "env -u WG_TOKEN -u WG_AGENT_ID",
    "nothing": 'env -i PATH="$PATH"',
    "a session": 'env -i PATH="$PATH" setsid -w',
    "no files": "env -i PATH=$PATH python3 closing.py",
}
CLOSING = """
import os, sys
os.closerange(3, 256)
os.execvp(sys.argv[1], sys.argv[1:])
"""
#: What is the operator's, or another task's.
ATTEMPTS = (
    "done other",
    "service stop",
    "approve review",
    "kill --all",
    "add more",
    "config set agents.nice 1",
    "service pause",
)
#: In these it tries all of that, in the others some.
WHOLE = ("a sibling's token", "nothing")


def status_of(p: Project, task: str) -> str:
    """A task's status."""
    return p.wg("task-status", task).strip()


def a_script(p: Project, name: str, *lines: str) -> str:
    """A shell script in the project; how it is run."""
    (p.folder / name).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return f"sh {name}"


def trying(how: str, program: str, what: str) -> str:
    """One attempt: its status, what it was and what was said, into `tries`."""
    said = f"$({how} {program} {what} 2>&1 >/dev/null)"
    return f'said={said}; echo "$? {what} $(echo $said)" >> tries'


def tries(p: Project) -> list[str]:
    """The attempts that were not refused as forbidden."""
    lines = (p.folder / "tries").read_text().splitlines()
    assert lines
    refused = ("this comes from", "may not do that", "works on")
    return [
        line
        for line in lines
        if not (line.startswith("1 ") and any(word in line for word in refused))
    ]


def count_tries(p: Project) -> int:
    """How many attempts were made."""
    return len((p.folder / "tries").read_text().splitlines())


def add_sibling(p: Project) -> None:
    """An agent that leaves its token where others find it, and works until `over`."""
    p.wg(
        *("add", "sibling", "--exec"),
        'echo "$WG_TOKEN" > t; mv t sibling-token;'
        " while [ ! -e over ]; do sleep 0.02; done",
    )
    wait_for((p.folder / "sibling-token").exists, "the sibling's token")


def test_an_agent_without_its_token_is_no_operator(tmp_path: Path) -> None:
    """However it leaves it behind; graph, settings and service stay as they are."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon()
        p.wg("add", "other", "--paused")
        p.wg("add", "review", "--exec", "true", "--review", "human")
        wait_for(lambda: status_of(p, "review") == "pending-review", "the review")
        add_sibling(p)
        (p.folder / "closing.py").write_text(CLOSING)
        settings = (p.folder / ".wg/config.toml").read_bytes()
        lines = [
            trying(how, "wg --dir .", what)
            for name, how in DISGUISES.items()
            for what in (ATTEMPTS if name in WHOLE else ATTEMPTS[:2])
        ]
        lines += [trying("", "wg", what) for what in ATTEMPTS if what != "add more"]
        p.wg("add", "job", "--exec", a_script(p, "job.sh", *lines))

        wait_for(lambda: status_of(p, "job") == "done", "the agent to have tried it")
        (p.folder / "over").touch()

        assert tries(p) == []
        assert count_tries(p) == len(lines)
        assert (p.folder / ".wg/config.toml").read_bytes() == settings
        assert p.json("service", "status")["paused"] is False
        found = {one["id"]: one["status"] for one in p.json("list")}
        assert set(found) == {"other", "review", "sibling", "job"}
        assert (found["other"], found["review"]) == ("open", "pending-review")


def test_without_a_daemon_an_agent_is_no_operator_either(tmp_path: Path) -> None:
    """`wg` looks at itself; nor may it start a daemon, nor be one."""
    with a_project(tmp_path / "p") as p:
        daemon = p.start_daemon()
        p.wg("add", "other", "--paused")
        (p.folder / "closing.py").write_text(CLOSING)
        hidden = [DISGUISES[name] for name in ("no token", "nothing", "no files")]
        lines = [
            "while [ ! -e alone ]; do sleep 0.02; done",
            *(trying(how, "wg --dir .", "done other") for how in hidden),
            *(trying(hidden[0], "wg", what) for what in ("add x", "service start")),
            trying(hidden[0], "wgd", ""),
            *(trying("", "wg", what) for what in ("done other", "run --until-idle")),
            "touch tried; while [ ! -e over ]; do sleep 0.02; done",
        ]
        p.wg("add", "job", "--exec", a_script(p, "job.sh", *lines))
        wait_for(lambda: status_of(p, "job") == "in-progress", "the agent")
        p.kill_daemon(daemon)

        (p.folder / "alone").touch()
        wait_for((p.folder / "tried").exists, "the agent to have tried it all")

        assert tries(p) == []
        assert p.json("service", "status")["running"] is False
        assert {one["id"] for one in p.json("list")} == {"other", "job"}
        assert status_of(p, "other") == "open"
        (p.folder / "over").touch()


def test_its_own_token_is_taken_in_every_disguise(tmp_path: Path) -> None:
    """It is the process tree and the token together that say who speaks."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon()
        ways = ("", "setsid -w", "env -u WG_AGENT_ID")
        lines = [f"{way} wg log 'by {way}' || exit 9" for way in ways]
        p.wg("add", "job", "--exec", a_script(p, "job.sh", *lines, "wg done"))

        wait_for(lambda: status_of(p, "job") == "done", "the job")

        said = [one["message"] for one in p.json("log", "job", "--list")]
        assert [f"by {way}" for way in ways] == [m for m in said if m.startswith("by")]


def test_a_gate_may_read_and_nothing_else(tmp_path: Path) -> None:
    """What an agent has written is run there: it could judge itself."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon()
        p.wg("add", "other", "--paused")
        gate = a_script(
            p,
            "gate.sh",
            trying("", "wg --dir .", "done other"),
            trying('env -i PATH="$PATH"', "wg --dir .", "done other"),
            trying("", "wg --dir .", "approve job"),
            "wg --dir . task-status other > read",
        )
        p.wg("add", "job", "--exec", "true", "--verify", gate)

        wait_for(lambda: status_of(p, "job") == "done", "the gate")

        assert tries(p) == []
        assert count_tries(p) == 3
        assert (p.folder / "read").read_text() == "open\n"
        assert status_of(p, "other") == "open"


def test_a_secret_that_an_agent_prints_is_masked(tmp_path: Path) -> None:
    """In its log, in the evidence of a gate, in `wg output`; not in its file."""
    secret = "correct-horse-battery-staple"
    with a_project(tmp_path / "p", {"SERVICE_KEY": secret}) as p:
        p.wg("config", "set", "env.pass", '["SERVICE_KEY"]')
        p.start_daemon()
        p.wg(
            *("add", "job", "--max-attempts", "1", "--exec"),
            'echo "it is $SERVICE_KEY"; wg log "$SERVICE_KEY and $WG_TOKEN" >/dev/null;'
            ' wg msg "mind $SERVICE_KEY" >/dev/null;'
            ' printf "unfinished $SERVICE_KEY"; sleep 0.3; echo "$SERVICE_KEY"',
            *("--verify", "echo $SERVICE_KEY; false"),
        )
        wait_for((p.folder / ".wg/agents/agent-1").exists, "the agent")

        followed = p.wg("output", "-f", "agent-1")
        wait_for(lambda: status_of(p, "job") == "failed", "the gate")

        shown = "it is ***\nunfinished ******\n"
        assert p.wg("output", "agent-1") == shown
        assert followed == shown
        told = [one["message"] for one in p.json("log", "job", "--list")]
        assert "*** and ***" in told
        assert p.json("msg", "job", "--list")[0]["text"] == "mind ***"
        assert "exited with 1:\n***" in p.json("show", "job")["failure"]["reason"]
        everything = p.wg("export") + json.dumps([told, p.json("show", "job")])
        assert secret not in everything
        assert secret in (p.folder / ".wg/agents/agent-1/output.log").read_text()
        assert secret in p.wg("output", "--raw", "agent-1")


#: Becomes somebody who owns nothing, then tries to speak to a daemon.
CONNECT = """
import os, socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(60)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    client.connect(sys.argv[1])
    client.sendall(b'{"cmd":"status"}\\n')
    print(client.recv(100))
except OSError as error:
    print(type(error).__name__)
"""


def connected_by_another(path: Path) -> str:
    """What another user's process is answered."""
    done = subprocess.run(
        [sys.executable, "-ISE", "-c", CONNECT, str(path)],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_users_process_cannot_connect() -> None:
    """The folder keeps it out; and where somebody opened all folders, the daemon."""
    # not in pytest's folders, into which others can't look
    with tempfile.TemporaryDirectory() as folder, a_project(Path(folder, "p")) as p:
        Path(folder).chmod(0o755)
        p.start_daemon()
        path = p.folder / ".wg" / "wgd.sock"

        kept_out = connected_by_another(path)
        path.parent.chmod(0o777)
        path.chmod(0o777)
        hung_up = connected_by_another(path)
        path.parent.chmod(0o700)
        path.chmod(0o600)

        assert kept_out == "PermissionError"
        assert hung_up in {"b''", "ConnectionResetError", "BrokenPipeError"}
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b'{"cmd":"status"}\n')
            assert client.recv(10).startswith(b'{"ok":true')
