"""Messages by a real daemon to a real process, over a restart."""

import json
from pathlib import Path

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Does what stands in `next` each time that it appears, and keeps what it was told.
AGENT = """
n=0
while :; do
    until test -e next; do sleep 0.05; done
    n=$((n + 1))
    mv next now
    sh ./now >out.$n 2>err.$n
    echo $? >status.$n
done
"""


class Shell:
    """An agent that does what a test says, one line after another."""

    def __init__(self, project: Project) -> None:
        self._folder = project.folder
        self._count = 0

    def do(self, line: str) -> tuple[str, str, int]:
        """Standard output, standard error and the status of a line."""
        self._count += 1
        written = self._folder / "next.new"
        written.write_text(line, encoding="utf-8")
        written.rename(self._folder / "next")
        status = self._folder / f"status.{self._count}"
        wait_for(lambda: status.exists() and bool(status.read_text()), line)
        out, err = (self._read(name) for name in ("out", "err"))
        return out, err, int(status.read_text())

    def _read(self, name: str) -> str:
        return (self._folder / f"{name}.{self._count}").read_text("utf-8")


def test_an_agent_is_told_reads_and_acknowledges(tmp_path: Path) -> None:
    """Once of each message, at its next call, whatever daemon answers it."""
    with a_project(tmp_path / "p", {"USER": "ann"}) as project:
        daemon = project.start_daemon()
        project.wg("add", "t", "--exec", AGENT)
        project.wg("add", "other", "--exec", "true", "--paused")
        agent = Shell(project)
        assert agent.do("wg log hello")[1:] == ("", 0)
        project.wg("msg", "t", "one")
        project.run("msg", "t", "two", env={"WG_ACTOR": "bob\x1b[2J"})
        project.wg("msg", "other", "not for t")

        said = "wg: 2 new messages from ann, bob\\x1b[2J; to read: wg msg --list\n"
        assert agent.do("wg show other")[1] == said
        assert agent.do("wg show other")[1] == ""
        project.wg("msg", "t", "three")
        project.kill_daemon(daemon)
        daemon = project.start_daemon()
        said = "wg: a new message from ann; to read: wg msg --list\n"
        out, err, status = agent.do("wg --json heartbeat")
        assert (err, status) == (said, 0)
        assert json.loads(out)["data"]["done"]
        assert agent.do("wg --json show nowhere")[2] == 3
        assert agent.do("wg heartbeat") == ("", "", 0)

        out, err, _ = agent.do("wg msg --list")
        assert err == ""
        assert [line for line in out.splitlines() if line.startswith("    ")] == [
            "    one",
            "    two",
            "    three",
        ]
        assert project.json("show", "t")["unread"] == 0
        project.kill_daemon(daemon)
        project.start_daemon()
        assert agent.do("wg heartbeat")[1] == ""
        assert agent.do("wg msg --ack 1 --ack 4") == ("t: acknowledged\n", "", 0)
        first, second, third = project.json("msg", "t", "--list")
        for one, done in ((first, True), (second, False), (third, True)):
            (receipt,) = one["receipts"]
            assert (receipt["agent"], receipt["attempt"]) == ("agent-1", 1)
            assert receipt["told_at"] <= receipt["read_at"]
            assert (receipt["acknowledged_at"] is not None) == done

        assert agent.do("wg msg other hi --task other")[2] == 2
        assert agent.do("wg msg --task other hi")[2] == 1
        assert agent.do("wg msg 'for the next one'")[::2] == ("5\n", 0)
        assert agent.do("wg heartbeat")[1] == ""


def test_what_a_killed_attempt_has_read_comes_again(tmp_path: Path) -> None:
    """Its conversation is gone; what it has acknowledged does not."""
    with a_project(tmp_path / "p", {"USER": "ann"}) as project:
        project.start_daemon()
        project.wg("add", "t", "--exec", AGENT)
        agent = Shell(project)
        assert agent.do("wg log hello")[1:] == ("", 0)
        project.wg("msg", "t", "one")
        project.wg("msg", "t", "two")
        agent.do("wg msg --list")
        agent.do("wg msg --ack 1")

        project.wg("kill", "agent-1", "--requeue")
        for name in ("next", "now", "status.1", "status.2", "status.3"):
            (project.folder / name).unlink(missing_ok=True)
        again = Shell(project)
        assert again.do('echo "$WG_ATTEMPT"')[0] == "2\n"

        _, second = project.json("msg", "t", "--list")
        out, err, _ = again.do("wg heartbeat")
        by_prompt = [one["agent"] for one in second["receipts"]] == [
            "agent-1",
            "agent-2",
        ]
        told = "wg: a new message from ann; to read: wg msg --list\n"
        assert (out, err) == ("", "" if by_prompt else told)
