"""Reading where nothing can be decided: broken settings, a daemon that is full."""

import json
import re
import socket
import sqlite3
import subprocess
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.system.project import BIN, PATIENCE_S, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


def test_broken_settings_hide_no_task(tmp_path: Path) -> None:
    """Without a daemon: what reads the graph works; the rest names file and line."""
    with a_project(tmp_path / "p") as p:
        p.wg("add", "work", "--exec", "true")
        config = p.folder / ".wg" / "config.toml"
        whole = config.read_text()
        config.write_text("[dispatcher]\nmax_agents = 'many'\n")

        for argv in ("list", "log work --list", "export"):
            done = p.run(*argv.split())
            assert done.returncode == 0, argv
            assert f"{config}:2: dispatcher.max_agents" in done.stderr, argv
        shown = p.run("--json", "show", "work")
        assert json.loads(shown.stdout)["data"]["id"] == "work"
        for argv in (
            "done work",
            "config get dispatcher.order",
            "config set dispatcher.order priority",
            "service start",
        ):
            code, error = p.error(*argv.split())
            assert code == 1, argv
            assert f"{config}:2: dispatcher.max_agents" in error["message"], argv
            assert error["hint"], argv
        assert config.read_text() == "[dispatcher]\nmax_agents = 'many'\n"
        config.write_text(whole)
        p.wg("done", "work")


def test_a_daemon_with_too_many_clients_says_so(tmp_path: Path) -> None:
    """A caller that it has no room for tries again for a while, then exits 75."""
    with a_project(tmp_path / "p") as p, ExitStack() as clients:
        daemon = subprocess.Popen(
            ["prlimit", "--nofile=200:200", str(BIN / "wgd")],
            cwd=p.folder,
            env=p.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(lambda: p.json("service", "status")["running"], "the daemon")
            path = p.json("service", "status")["socket"]
            for n in range(250):
                client = clients.enter_context(closing(socket.socket(socket.AF_UNIX)))
                client.connect(path)
                if n < 40:  # Who waits for an answer never makes room for another.
                    client.sendall(b'{"cmd":"watch"}\n')
            done = p.run("list")
            assert done.returncode == 75
            # It hangs up on all at once, or one has left just now and it says a word.
            assert re.search("too many connections|connections already", done.stderr)
            # and the daemon still has files for an agent
            clients.close()
            p.wg("add", "work", "--exec", "true")
            wait_for(lambda: p.wg("task-status", "work") == "done\n", "the work")
        finally:
            daemon.terminate()
            _, said = daemon.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in said


def test_backups_under_load_are_whole(tmp_path: Path) -> None:
    """Tasks are added in pairs, each pair in one request: no copy has half of one."""
    with a_project(tmp_path / "p") as p:
        p.start_daemon("--max-agents", "0")
        path = p.json("service", "status")["socket"]
        stop = threading.Event()
        added: list[int] = []

        def load() -> None:
            with closing(socket.socket(socket.AF_UNIX)) as client:
                client.connect(path)
                lines = client.makefile("rb")
                while not stop.is_set():
                    number = len(added) + 1
                    text = "".join(
                        json.dumps({"kind": "task", "id": f"{n}-{number}", "title": n})
                        + "\n"
                        for n in ("a", "b")
                    )
                    request = {"cmd": "import", "text": text, "format": "jsonl"}
                    client.sendall(json.dumps(request).encode() + b"\n")
                    assert json.loads(lines.readline())["ok"]
                    added.append(number)
                lines.close()

        thread = threading.Thread(target=load)
        thread.start()
        try:
            counts = []
            for number in range(5):
                before = len(added)
                wait_for(lambda before=before: len(added) > before, "one more pair")  # type: ignore[misc]
                copy = tmp_path / f"copy-{number}.db"
                p.wg("backup", str(copy))
                with closing(sqlite3.connect(copy)) as db:
                    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
                    sql = "select count(*) from tasks where id like ?"
                    a, b = (db.execute(sql, (f"{n}-%",)).fetchone()[0] for n in "ab")
                assert a == b
                counts.append(a)
        finally:
            stop.set()
            thread.join()
        assert counts == sorted(counts)
        assert counts[-1] > counts[0]
        assert not list((p.folder / ".wg").glob("*backup*"))
