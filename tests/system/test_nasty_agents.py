"""Agents that do what they should not: the graph stays true, nothing is left."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.crash_lives import Lives, some_lives
from tests.system.den import why_no_den
from tests.system.nasty import KINDS, NASTY, name_of
from tests.system.project import wait_for
from workgraph.wg import ANSWER_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(why_no_den()), reason=str(why_no_den())),
]
#: What would move a cursor, ring a bell or change a terminal.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FLOOD_BYTES = 200_000_000
MORE = """
case $kind in
floods) head -c "$1" /dev/zero | tr '\\0' x; leave 0 ;;
# says what it may not, and how each was answered
without-token)
    for words in "service pause" "abandon other" "add more" "done other"; do
        env -u WG_TOKEN wg $words >/dev/null 2>&1; echo $? >>said
    done
    leave 0 ;;
esac
"""


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """One daemon for agents of all kinds; nothing of any is left in the end."""
    folder = tmp_path_factory.mktemp("nasty")
    with some_lives(folder / "x", kinds=f"{KINDS}\n{MORE}") as lives:
        # long enough for two more words on a busy machine
        lives.project.wg("config", "set", "agents.kill_grace", "5s")
        lives.start()
        yield lives
        lives.finish()


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Lives]:
    """A daemon that does not live through it."""
    with some_lives(tmp_path / "x") as lives:
        lives.start()
        yield lives


def test_every_one_is_told_as_it_was(lives: Lives) -> None:
    """All kinds, eight at a time: status, outcome, code, signal; nothing is left."""
    names = {name_of(kind): kind for kind in NASTY}
    lives.import_tasks(
        *(
            {"id": x, "exec": lives.evidence.agent(x), "max_attempts": 1}
            | dict(NASTY[kind].limits)
            for x, kind in names.items()
        ),
        status=0,
    )
    try:
        wait_for(lambda: lives.read("status")["idle"], "all of them to end")
    except AssertionError as error:
        live = [x for x in lives.agents() if x["status"] != "ended"]
        raise AssertionError(f"{error}: {live}, {lives.den.inmates()}") from error

    told, said = {}, []
    for agent in [one for one in lives.agents() if one["task"] in names]:
        status, kind = lives.task(agent["task"])["status"], names[agent["task"]]
        end = (agent["outcome"], agent["exit_code"], agent["signal"])
        told[kind] = (status, *end)
        one = NASTY[kind]
        if told[kind] != (one.status, one.outcome, one.code, one.signal):
            said.append((kind, lives.project.wg("output", agent["id"])))
    assert told == {
        kind: (one.status, one.outcome, one.code, one.signal)
        for kind, one in NASTY.items()
    }, said
    lives.check()
    lives.wait_alone()


def test_what_an_agent_writes_is_escaped_for_people(lives: Lives) -> None:
    """In its output, its words and its reasons; `--raw` gives the bytes."""
    kind = name_of("floods with escapes")
    lives.add("escapes", kind)
    lives.wait_task("escapes", "done")
    agent = lives.agents("escapes")[0]["id"]

    for words in (("output", agent), ("show", "escapes"), ("log", "escapes", "--list")):
        shown = lives.project.wg(*words)
        assert CONTROL.search(shown) is None, words
    assert r"\x1b[2J\x1b]0;title\x07" in lives.project.wg("output", agent)


def test_a_flood_costs_the_daemon_nothing(lives: Lives) -> None:
    """200 MB of output: the daemon's memory stays, and it goes on answering."""
    assert lives.pid is not None
    before = lives.den.resident_bytes(lives.pid)
    lives.add("flood", "floods", FLOOD_BYTES)
    slowest = 0.0
    while lives.task("flood")["status"] != "done":
        began = time.monotonic()
        lives.read("status")
        slowest = max(slowest, time.monotonic() - began)

    agent = lives.agents("flood")[0]["id"]
    output = lives.project.wg("output", agent, "--raw")
    assert 1_000_000 < len(output) <= 8 * 1024 * 1024 + 1
    grown = lives.den.resident_bytes(lives.pid) - before
    assert grown < 100_000_000, f"{grown / 1e6:.0f} MB more"
    assert slowest < ANSWER_S  # no client takes it for one that hangs
    (lives.project.folder / ".wg/agents" / agent / "output.log").unlink()


def test_an_agent_that_kills_all_it_can(victims: Lives) -> None:
    """Daemon, wrapper, itself: the next daemon says that it is lost, and goes on."""
    wait = "until [ -e go ]; do sleep 0.05; done"  # `wg add` is there, too
    command = f"[ -e went ] && exit 0; {wait}; touch went; kill -9 -1"
    victims.project.wg("add", "all", "--id", "all", "--exec", command)
    (victims.project.folder / "go").touch()
    victims.outlive_massacre()

    victims.start()

    found = victims.wait_task("all", "done")
    assert found["attempts"] == 2
    assert [one["outcome"] for one in victims.agents()] == ["lost", "done"]


def test_a_deleted_database_is_noticed(victims: Lives) -> None:
    """Soon, and it is said; what it held is saved, and agents go on."""
    wg_dir = victims.project.folder / ".wg"
    command = 'rm "$WG_DIR"/graph.db*; sleep 600'
    victims.project.wg("add", "bad", "--id", "bad", "--exec", command)
    wait_for(lambda: not (wg_dir / "graph.db").exists(), "the deed")

    assert victims.wait_end() == 1

    assert "database_vanished" in (wg_dir / "log/wgd.jsonl").read_text()
    refused = victims.project.run("list")
    assert refused.returncode == 1
    assert "graph.db" in refused.stderr
    (saved,) = wg_dir.glob("graph.db.rescued-*")
    saved.rename(wg_dir / "graph.db")
    victims.start()
    assert [(x["task"], x["status"]) for x in victims.agents()] == [("bad", "working")]


def test_an_agent_without_its_token_is_no_operator(lives: Lives) -> None:
    """It is told by its process tree, its session, its environment (CONTRACT §4)."""
    lives.project.wg("add", "other", "--id", "other", "--paused")
    lives.add("bad", "without-token")

    lives.wait_task("bad", "done")

    assert (lives.project.folder / "said").read_text().split() == ["1"] * 4
