"""CONTRACT §2, §3.3, §5 and §9: files, settings, the socket, run, watch."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.faults.mounts import a_mount
from tests.system.project import BIN, PATIENCE_S, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@contextmanager
def a_connection(project: Project) -> Iterator[Any]:
    """A function that says a line to the daemon and gives its answer."""
    path = project.json("service", "status")["socket"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(path)
        answers = sock.makefile("rb")

        def say(line: bytes | dict[str, Any]) -> Any:
            text = json.dumps(line).encode() if isinstance(line, dict) else line
            sock.sendall(text + b"\n")
            return json.loads(answers.readline())

        yield say


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


def test_init_makes_one_folder_and_says_so_twice(tmp_path: Path) -> None:
    """Settings that are all comments, an excluded folder, nothing else touched."""
    project = Project(tmp_path / "p")
    subprocess.run(["git", "init", "-q", project.folder], check=True)
    (project.folder / "file").write_text("mine")
    before = {one.name for one in project.folder.iterdir()}
    project.wg("init")
    config = project.folder / ".wg/config.toml"
    assert {one.name for one in project.folder.iterdir()} - before == {".wg"}
    assert all(
        line.startswith("#") for line in config.read_text().splitlines() if line.strip()
    )
    assert mode(project.folder / ".wg") == 0o700
    exclude = project.folder / ".git/info/exclude"
    assert exclude.read_text().splitlines().count(".wg/") == 1
    task = project.wg("add", "kept").strip()
    assert "already" in project.wg("init")
    assert exclude.read_text().splitlines().count(".wg/") == 1
    assert project.wg("init", "--agents-md")
    guide = (project.folder / "AGENTS.md").read_text()
    project.wg("init", "--agents-md")
    assert (project.folder / "AGENTS.md").read_text() == guide

    deep = project.folder / "a" / "b"
    deep.mkdir(parents=True)
    outside = {**project.env, "WG_DIR": str(project.folder / ".wg")}
    for cwd, env, options in (
        (deep, project.env, []),
        (tmp_path, outside, []),
        (tmp_path, outside | {"WG_DIR": str(project.folder)}, []),
        (tmp_path, project.env, ["--dir", str(project.folder)]),
        (tmp_path, project.env, ["--dir", "p/.wg"]),
    ):
        done = subprocess.run(
            [str(BIN / "wg"), *options, "task-status", task],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "open\n"), (cwd, options)
    nowhere = project.run("--json", "--dir", str(tmp_path), "list")
    assert (nowhere.returncode, nowhere.stdout) == (3, "")
    assert project.run("--dir", str(tmp_path), "doctor").returncode in {0, 1}
    assert "python" in project.run("--dir", str(tmp_path), "doctor").stdout


def test_settings_are_kept_and_broken_ones_refused(tmp_path: Path) -> None:
    """File, line and nearest key at start; on reload the old ones stay."""
    with a_project(tmp_path / "p") as p:
        config = p.folder / ".wg/config.toml"
        config.write_text("[dispatcher]\n# how many\nmax_agents = 0 # none\n")
        p.wg("service", "start")
        p.wg("config", "set", "dispatcher.max_agents", "3")
        assert config.read_text() == "[dispatcher]\n# how many\nmax_agents = 3 # none\n"
        assert p.json("service", "status")["max_agents"] == 3
        assert p.wg("config", "get", "dispatcher.max_agents") == "3\n"
        got = p.json("config", "get", "dispatcher.max_agents")
        assert (got["value"], got["file"]) == (3, str(config))
        assert "config.toml" in p.wg("config", "list", "--origin")
        status, error = p.error("config", "get", "dispatcher.max_agnts")
        assert (status, "dispatcher.max_agents" in error["hint"]) == (3, True)
        for key, value in (
            ("dispatcher.max_agnts", "1"),
            ("dispatcher.max_agents", "x"),
            ("agents.timeout", "5"),
            ("agents.exit_zero", "maybe"),
        ):
            assert p.error("config", "set", key, value)[0] in {1, 2}, key
        old = config.read_text()
        assert "max_agents = 3" in old
        for text, line in (
            ("[dispatcher]\n\nmax_agnts = 1\n", 3),
            ('[dispatcher]\nmax_agents = "x"\n', 2),
            ("[nonsense\n", 1),
        ):
            config.write_text(text)
            status, error = p.error("service", "reload")
            assert status == 1
            assert f"{config}:{line}:" in error["message"], error
            assert p.json("service", "status")["max_agents"] == 3
        p.wg("service", "stop")
        config.write_text("[dispatcher]\n\nmax_agnts = 1\n")
        status, error = p.error("service", "start")
        assert (status, f"{config}:3:" in error["message"]) == (1, True)
        assert "dispatcher.max_agents" in error["hint"]
        assert p.json("service", "status")["running"] is False
        config.write_text(old)
        p.wg("service", "start", "--set", "dispatcher.max_agents=1")
        assert p.json("service", "status")["max_agents"] == 1
        p.wg("config", "set", "--global", "retry.max_attempts", "7")
        assert p.json("add", "x")["max_attempts"] == 7


BAD_LINES = [
    b"{broken",
    b"[]",
    b"5",
    b"\xff\xfe",
    b"{}",
    b'{"cmd":5}',
    b'{"cmd":"nonsense"}',
    b'{"cmd":"status","odd":1}',
    b'{"cmd":"show","task":5}',
    b'{"cmd":"show","task":"nobody"}',
    b'{"cmd":"list","status":["odd"]}',
    b'{"cmd":"add_task","title":"x","priority":9}',
    b'{"cmd":"add_task"}',
    b'{"cmd":"watch","since":-1}',
    b'{"cmd":"done","task":"one","token":"never"}',
    b"[" * 100_000,
    b'{"cmd":"add_task","title":"' + b"x" * (1 << 20) + b'"}',
]


def test_the_socket_answers_every_line(tmp_path: Path) -> None:
    """One answer a line; what is wrong with a line harms nobody."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon("--max-agents", "0")
        assert mode(p.folder / ".wg/wgd.sock") == 0o600
        with a_connection(p) as say, a_connection(p) as other:
            made = say({"cmd": "add_task", "id": "one", "title": "1", "tag": ["a"]})
            assert made["data"] == p.json("show", "one")
            for line in BAD_LINES:
                with a_connection(p) as bad:
                    answer = bad(line)
                assert answer["ok"] is False, line[:80]
                assert {"code", "message"} <= set(answer["error"]), line[:80]
            assert other({"cmd": "status"})["data"]["running"] is True
            claimed = say({"cmd": "claim", "task": "one", "actor": "me"})
            assert claimed["data"]["status"] == "in-progress"
            again = other({"cmd": "claim", "task": "one", "actor": "you"})
            assert again["error"]["code"] == "conflict"
            for request in (
                {"cmd": "pause"},
                {"cmd": "resume"},
                {"cmd": "pause", "task": "one"},
                {"cmd": "resume", "task": "one"},
                {"cmd": "heartbeat", "task": "one"},
                {"cmd": "graph_changed"},
                {"cmd": "reconfigure"},
                {"cmd": "agents"},
                {"cmd": "log", "task": "one", "message": "m"},
                {"cmd": "progress", "task": "one", "percent": 4},
                {"cmd": "done", "task": "one"},
                {"cmd": "done", "task": "one"},
            ):
                assert say(request)["ok"] is True, request
            changes = [say({"cmd": "watch", "since": 0})]
        seqs = [
            json.loads(line)["seq"]
            for line in watched(p, "--since", "0", until="finish")
        ]
        assert seqs == list(range(1, len(seqs) + 1))
        assert set(changes[0]) >= {"seq", "at", "kind", "task", "agent", "actor", "by"}
        assert set(changes[0]) >= {"from", "to", "reason"}
        log = p.json("log", "one", "--list")
        assert [one["message"] for one in log].count("in-progress → done") == 1


@pytest.mark.parametrize("daemon", [True, False])
@pytest.mark.parametrize("words", [("watch", "--since", "0"), ("list",)])
def test_a_reader_that_leaves_ends_it_quietly(
    tmp_path: Path, words: tuple[str, ...], *, daemon: bool
) -> None:
    """`wg watch | head` ends as any tool does of SIGPIPE, and leaves the graph free."""
    with a_project(tmp_path / "p") as p:
        p.wg("add", "a")
        if daemon:
            p.start_daemon("--max-agents", "0")
        reads, writes = os.pipe()
        os.close(reads)
        done = subprocess.run(
            [str(BIN / "wg"), *words],
            cwd=p.folder,
            env=p.env,
            stdout=writes,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writes)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
        assert p.wg("add", "b") == "b\n"


def watched(project: Project, *options: str, until: str) -> list[str]:
    """Lines of `wg watch` up to one that has that word in it."""
    lines = []
    with subprocess.Popen(
        [str(BIN / "wg"), "watch", *options],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout
        for line in watch.stdout:
            lines.append(line)
            if until in line:
                break
        watch.send_signal(signal.SIGINT)
    return lines


@pytest.mark.parametrize("daemon", [True, False])
def test_run_until_idle_says_how_it_went(tmp_path: Path, *, daemon: bool) -> None:
    """0 when all is done or abandoned, else 1; an idle graph tells no old stories."""
    with a_project(tmp_path / "p") as p:
        if daemon:
            p.start_daemon()
        p.wg("add", "a", "--exec", "true")
        p.wg("add", "b", "--exec", "exit 3", "--after", "a")
        p.wg("add", "c", "--exec", "true", "--after", "b")
        done = p.run("run", "--until-idle")
        assert done.returncode == 1
        told = re.search(r"^failed b: .*3$", done.stdout, re.MULTILINE)
        assert told or daemon  # which may have been faster than the one that follows
        assert done.stderr == ""
        p.wg("edit", "b", "--exec", "true")
        p.wg("retry", "b")
        assert p.run("run", "--until-idle").returncode == 0
        again = p.run("run", "--until-idle")
        assert (again.returncode, again.stdout) == (0, "3 done\n")
        assert p.run("run", "--until-idle").stdout == "3 done\n"
        p.wg("backup", "copy.db")
        assert (p.folder / "copy.db").read_bytes()[:15] == b"SQLite format 3"


def test_an_interrupted_run_leaves_its_agents(tmp_path: Path) -> None:
    """Ctrl-C drains; the agent goes on, and the next daemon sees its end."""
    with a_project(tmp_path / "p") as p:
        p.wg("add", "a", "--exec", "touch on; while [ ! -e go ]; do sleep 0.05; done")
        with subprocess.Popen(
            [str(BIN / "wg"), "run"],
            cwd=p.folder,
            env=p.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            wait_for((p.folder / "on").exists, "the agent")
            assert p.wg("task-status", "a") == "in-progress\n"
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=PATIENCE_S)
        assert said == ""
        assert len(p.processes()) > 0
        assert p.json("service", "status")["running"] is False
        (p.folder / "go").touch()
        assert p.run("run", "--until-idle").returncode == 0
        assert p.json("show", "a")["attempts"] == 1


def test_a_socket_path_that_is_too_long_is_elsewhere(tmp_path: Path) -> None:
    """`service status --json` says where, with a daemon and without."""
    # Not in tmp_path, which may be too long for a socket itself.
    with TemporaryDirectory(prefix="wg-run-") as runtime:
        env = {"XDG_RUNTIME_DIR": runtime}
        with a_project(tmp_path / ("d" * 120), env) as p:
            p.start_daemon()
            path = p.json("service", "status")["socket"]
            assert path.startswith(f"{runtime}/workgraph/")
            assert mode(Path(path)) == 0o600
            p.wg("add", "a", "--exec", "wg log said")
            p.wg("run", "--until-idle")
            assert "said" in [one["message"] for one in p.json("log", "a", "--list")]


CALLS = ["add x", "export out", "run --until-idle", "service start"]


def test_a_full_disk_is_said_as_such(tmp_path: Path) -> None:
    """One line and exit 1, with a daemon and without; then all is as before."""
    with a_mount(tmp_path / "m", "size=2m") as folder, a_project(folder / "p") as p:
        before = p.json("add", "before")
        with (folder / "fill").open("wb", buffering=0) as fill:
            while True:
                try:
                    fill.write(b"x" * 1024)
                except OSError:
                    break
        for argv in CALLS:
            status, error = p.error(*argv.split())
            assert status == 1, argv
            assert "No space left" in error["message"], argv
        # what only reads goes on, and says that nothing was settled
        read = p.run("--json", "show", "before")
        assert json.loads(read.stdout)["data"] == before
        assert "what was last recorded" in read.stderr
        (folder / "fill").unlink()
        assert p.json("show", "before") == before


def test_a_read_only_folder_is_said_as_such(tmp_path: Path) -> None:
    """One line and exit 1."""
    with a_mount(tmp_path / "m", "size=4m") as folder, a_project(folder / "p") as p:
        p.wg("add", "before")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for argv in CALLS:
            status, error = p.error(*argv.split())
            assert status == 1, argv
            assert "Read-only" in error["message"], argv
        listed = p.run("list")
        assert "before" in listed.stdout
        assert "Read-only" in listed.stderr
        p.wg("backup", str(tmp_path / "copy.db"))
        assert p.run("doctor").returncode == 1
        fresh = p.run("--dir", str(folder), "init")
        assert (fresh.returncode, "Read-only" in fresh.stderr) == (1, True)
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert os.listdir(folder / "p" / ".wg")
