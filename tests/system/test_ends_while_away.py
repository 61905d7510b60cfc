"""Agents whose end no daemon has seen: the next one says what it was.

For every shell that is /bin/sh somewhere: what it writes of an end differs.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.system.crash_lives import Lives, some_lives
from tests.system.den import why_no_den
from tests.system.project import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(why_no_den()), reason=str(why_no_den())),
]

#: Kinds of agents that do something when they are told to.
KINDS = """
case $kind in
# leaves with a code, or dies by a signal, told like `exit 7`
told) wait_word "$1"; read -r how number <<EOT
$word
EOT
    if [ "$how" = exit ]; then leave "$number"; else die "$number"; fi ;;
late-setsid) wait_word "$1"
    setsid sleep 600 </dev/null >/dev/null 2>&1 & leave 0 ;;
late-orphan) wait_word "$1"
    (env -i setsid sh -c 'sleep 600 & exit 0' </dev/null >/dev/null 2>&1 &)
    leave 0 ;;
# both have attacked their own record before they leave with 7
late-removal) wait_word "$1"; attack; rm -rf "$WG_DIR/agents/$WG_AGENT_ID"; leave 7 ;;
late-forgery) wait_word "$1"; attack; cd "$WG_DIR/agents"; mv $WG_AGENT_ID .moved
    mkdir $WG_AGENT_ID; echo 1 >$WG_AGENT_ID/run; echo 0 >>$WG_AGENT_ID/run; leave 7 ;;
late-stubborn) trap '' TERM; wait_word "$1"; leave 0 ;;
esac
"""
#: How agents end, and the code and signal that must be recorded. Codes from 128 on are
#: not taken for signals, as every one of these shells says a word about a signal.
ENDS = {
    "exit 0": (0, None),
    "exit 7": (7, None),
    "exit 126": (126, None),
    "exit 127": (127, None),
    "exit 255": (255, None),
    "signal 1": (None, 1),
    "signal 6": (None, 6),
    "signal 9": (None, 9),
    "signal 11": (None, 11),
    "signal 15": (None, 15),
    "exit 129": (129, None),
    "exit 137": (137, None),
    "exit 143": (143, None),
}


def _shell(name: str, folder: Path) -> str:
    """The path of a shell, under a name by which it knows what it is."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    if name != "busybox":
        return found
    folder.mkdir()
    (folder / "sh").symlink_to(found)
    return os.fspath(folder / "sh")


def _hold(lives: Lives, kind: str, *names: str) -> None:
    """Starts agents, and the daemon is killed when all of them run."""
    lives.start()
    command = lives.evidence.agent
    lives.import_tasks(
        *(
            {"id": x, "exec": command(kind, lives.fifo(x)), "max_attempts": 1}
            for x in names
        )
    )
    for name in names:
        lives.wait_started(name)
    lives.kill()


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_every_end_is_known(tmp_path: Path, shell: str) -> None:
    """Codes and signals, as they were, and each agent ran once."""
    path = _shell(shell, tmp_path / "bin")
    with some_lives(tmp_path / "x", shell=path, kinds=KINDS) as lives:
        lives.project.wg("config", "set", "dispatcher.max_agents", "30")
        names = {how.replace(" ", "-"): how for how in ENDS}
        _hold(lives, "told", *names)
        for name, how in names.items():
            lives.tell(name, how)
        lives.wait_said_end(*names)

        lives.start()
        for name in names:
            done = "done" if name == "exit-0" else "failed"
            lives.wait_task(name, done)

        told = {
            names[agent["task"]]: (agent["exit_code"], agent["signal"])
            for agent in lives.agents()
        }
        assert told == ENDS
        lives.finish()


@pytest.mark.parametrize("kind", ["late-setsid", "late-orphan"])
def test_what_an_agent_leaves_behind_is_ended(tmp_path: Path, kind: str) -> None:
    """A session of its own, a double fork, an empty environment: by the lock."""
    with some_lives(tmp_path / "x", kinds=KINDS) as lives:
        _hold(lives, kind, "t")
        lives.tell("t")
        lives.wait_said_end("t")
        wait_for(
            lambda: any("sleep" in one.command for one in lives.den.inmates()),
            "the child",
        )

        lives.start()
        lives.wait_task("t", "done")

        lives.wait_alone()
        lives.finish()


def test_a_folder_that_is_another_one_tells_nothing(tmp_path: Path) -> None:
    """Removed, or made anew with a better end in it: lost, and said so."""
    with some_lives(tmp_path / "x", kinds=KINDS) as lives:
        for kind in ("late-removal", "late-forgery"):
            _hold(lives, kind, kind)
            lives.start()
            lives.tell(kind)
            found = lives.wait_task(kind, "failed")
            assert found["failure"]["class"] == "lost"
            assert "its folder was removed or made anew" in found["failure"]["reason"]
            lives.kill()
        lives.start()
        lives.finish()


def test_an_agent_killed_together_with_the_daemon(tmp_path: Path) -> None:
    """Wrapper, agent and daemon at one blow: lost, an attempt used, tried again."""
    with some_lives(tmp_path / "x") as lives:
        lives.start()
        lives.add("t", "hold", lives.fifo("t"))
        pid = lives.wait_started("t")
        wait_for(lambda: lives.agents("t")[0]["status"] == "working", "its record")
        wrapper = lives.agents("t")[0]["pid"]
        lives.killed.add(pid)
        assert lives.pid is not None

        # it stands still first: it may see nothing of what comes before its own end
        lives.send(signal.SIGSTOP)
        wait_for(lambda: lives.den.state_of(lives.pid) == "T", "it to stand still")
        lives.den.kill(-wrapper, lives.pid)

        assert lives.wait_end() == -9
        lives.start()
        found = lives.wait_task("t", "done")
        assert found["attempts"] == 2
        agents = [(one["outcome"], one["signal"]) for one in lives.agents("t")]
        assert agents == [("lost", None), ("done", None)]
        lives.finish()


def test_the_agent_alone_killed_together_with_the_daemon(tmp_path: Path) -> None:
    """Its wrapper lives and says so: killed by 9, tried again."""
    with some_lives(tmp_path / "x") as lives:
        lives.start()
        lives.add("t", "hold", lives.fifo("t"))
        pid = lives.wait_started("t")
        lives.killed.add(pid)
        assert lives.pid is not None

        lives.send(signal.SIGSTOP)
        wait_for(lambda: lives.den.state_of(lives.pid) == "T", "it to stand still")
        lives.den.kill(pid, lives.pid)

        assert lives.wait_end() == -9
        lives.start()
        lives.wait_task("t", "done")
        agents = [(one["outcome"], one["signal"]) for one in lives.agents("t")]
        assert agents == [("crashed", 9), ("done", None)]
        lives.finish()


def test_a_time_limit_that_passed_meanwhile_holds(tmp_path: Path) -> None:
    """An agent that heeds no TERM is ended by the next daemon: timed out."""
    with some_lives(tmp_path / "x", kinds=KINDS) as lives:
        lives.start()
        command = lives.evidence.agent("late-stubborn", lives.fifo("t"))
        options = ("--timeout", "3s", "--max-attempts", "1")
        lives.project.wg("add", "t", "--id", "t", "--exec", command, *options)
        lives.wait_started("t")
        began = time.monotonic()
        lives.kill()
        wait_for(lambda: time.monotonic() > began + 3, "its time to be over")

        lives.start()

        found = lives.wait_task("t", "failed")
        assert found["failure"]["class"] == "timed-out"
        assert [one["outcome"] for one in lives.agents("t")] == ["timed-out"]
        lives.wait_alone()
        lives.finish()
