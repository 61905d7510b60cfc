"""What happens to the daemon of a soak and to its agents, at random moments."""

import signal
import sqlite3
import time
from collections.abc import Callable
from random import Random
from typing import Final

from tests.soak.tally import Tally
from tests.system.crash_lives import Lives

Act = Callable[[], None]

_LONGEST_REST_S: Final = 2.0
_LONGEST_ABSENCE_S: Final = 0.5


class Chaos:
    """Kills and restarts, in an order that the seed decides."""

    def __init__(self, seed: int, lives: Lives, tally: Tally) -> None:
        self._random = Random(f"{seed}/chaos")
        self._lives = lives
        self._tally = tally
        self._copies = 0
        self._first_bytes = 0
        self._acts: Final[tuple[tuple[int, Act], ...]] = (
            (34, self._kill_daemon),
            (8, self._end_daemon),
            (3, self._stop_with_agents),
            (20, self._kill_agent_process),
            (15, self._kill_agent),
            (6, self._pause_a_while),
            (5, self._freeze_a_while),
            (4, self._reload),
            (6, self._back_up),
        )

    def act(self) -> None:
        """Rests a while, and does the next thing."""
        rest = self._random.random() ** 2 * _LONGEST_REST_S
        weights, acts = zip(*self._acts, strict=True)
        act = self._random.choices(acts, weights)[0]
        time.sleep(rest)
        act()

    def start(self) -> None:
        """A daemon lives."""
        self._lives.start()
        self._first_bytes = self.resident_bytes()
        self._tally.life += 1

    def resident_bytes(self) -> int:
        """The memory of the daemon."""
        assert self._lives.pid is not None
        return self._lives.den.resident_bytes(self._lives.pid)

    def _over(self) -> None:
        self._tally.note_growth(self.resident_bytes() - self._first_bytes)
        self._tally.life += 1

    def _again(self) -> None:
        time.sleep(
            self._random.choice((0, 0, 1)) * self._random.random() * _LONGEST_ABSENCE_S
        )
        self.start()

    def _kill_daemon(self) -> None:
        self._over()
        self._lives.kill()
        self._tally.count("daemon killed")
        self._again()

    def _end_daemon(self) -> None:
        self._over()
        status = self._lives.end(signal.SIGTERM)
        self._tally.count("daemon ended")
        if status:
            said = f"wgd ended with {status} after TERM: {self._lives.last_words()}"
            self._tally.note_miss("defects", said)
        self._again()

    def _stop_with_agents(self) -> None:
        self._over()
        done = self._lives.project.run("service", "stop", "--kill-agents")
        if done.returncode or (status := self._lives.wait_end()):
            self._tally.note_miss("defects", f"stop --kill-agents: {done.stderr}")
            del status
        self._tally.count("daemon ended")
        self._again()

    def _kill_agent_process(self) -> None:
        """KILL to the program of an agent, its wrapper, or all its group."""
        ended = {x.agent for x in self._lives.evidence.lines() if x.what == "ended"}
        said = [x for x in self._lives.evidence.lines()[-50:] if x.agent not in ended]
        draw, whom = self._random.random(), self._random.randrange(3)
        if not said:
            return
        line = said[int(draw * len(said))]
        found = [x for x in self._lives.den.inmates() if x.pid == line.pid]
        if not found or "agent.sh" not in found[0].command:
            return
        self._lives.killed.add(line.pid)
        targets = ((line.pid,), (found[0].parent,), (line.pid, found[0].parent))
        if found[0].parent > 2:
            self._lives.den.kill(*targets[whom], check=False)
            self._tally.count("agent killed")

    def _kill_agent(self) -> None:
        live = [x["id"] for x in self._lives.agents() if x["status"] != "ended"]
        draw = self._random.random()
        how = self._random.choice((["--requeue"], ["--fail"], [], ["--force"]))
        if live:
            self._lives.project.run("kill", live[int(draw * len(live))], *how)
            self._tally.count("wg kill")

    def _pause_a_while(self) -> None:
        self._lives.project.run("service", "pause")
        time.sleep(0.2)
        if not self._lives.read("status")["paused"]:
            self._tally.note_miss("forgotten", "the service was paused and is not")
        self._lives.project.run("service", "resume")

    def _freeze_a_while(self) -> None:
        """Every other time through the death of the daemon."""
        self._lives.project.wg("service", "freeze")
        if self._random.random() < 0.5:
            self._kill_daemon()
        time.sleep(0.2)
        if not self._lives.read("status")["frozen"]:
            self._tally.note_miss("forgotten", "the service was frozen and is not")
        self._lives.project.wg("service", "thaw")

    def _reload(self) -> None:
        self._lives.project.wg("service", "reload")

    def _back_up(self) -> None:
        """A copy that is whole, while everything runs."""
        self._copies += 1
        name = f"copy-{self._copies}.db"
        self._lives.project.wg("backup", name)
        copy = self._lives.project.folder / name
        with sqlite3.connect(copy) as connection:
            said = connection.execute("pragma integrity_check").fetchone()[0]
        connection.close()
        if said != "ok":
            self._tally.note_miss("defects", f"{name}: {said}")
        copy.unlink()
