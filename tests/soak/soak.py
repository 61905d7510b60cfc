"""One soak: clients and chaos in threads, a look at everything each second, the end."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.soak.chaos import Chaos
from tests.soak.clients import FOR_PERSONS, KINDS, SHARED, Client
from tests.soak.tally import Tally
from tests.system import nasty
from tests.system.crash_lives import Lives
from tests.system.evidence import compare
from tests.system.project import wait_for

_BETWEEN_CHECKS_S: Final = 1.0
_DRAIN_S: Final = 240.0
#: As long as `wg` may take at most.
_CLIENT_GONE_S: Final = 130.0
#: Who is not waited for after that is forgotten: a wrapper may be frozen for a while.
_ZOMBIE_S: Final = 10.0
#: What `wg check` finds and is so: tasks behind failed ones, and for persons.
_FINDINGS: Final = frozenset({"unreachable", "unknown_executor"})


class Soak:
    """A project in a den that is treated badly.

    Args:
        folder: An empty place.
        seed: Decides what is said and done.
        clients: How many speak at once.
    """

    def __init__(self, folder: Path, seed: int, clients: int) -> None:
        self.tally = Tally()
        self._lives = Lives(folder, kinds=f"{KINDS}\n{nasty.KINDS}")
        self._chaos = Chaos(seed, self._lives, self.tally)
        self._clients = [
            Client(n, seed, self._lives, self.tally, tuple(nasty.NASTY))
            for n in range(clients)
        ]
        self._stop = threading.Event()
        #: Since when each is one.
        self._zombies: dict[int, float] = {}

    def run(self, seconds: float) -> float:
        """Soaks for so long, lets all come to its end, and looks at everything."""
        began = time.monotonic()
        self._chaos.start()
        threads = [
            threading.Thread(target=self._repeat, args=(client.act,), daemon=True)
            for client in self._clients
        ]
        for thread in threads:
            thread.start()
        checker = threading.Thread(target=self._keep_looking, daemon=True)
        checker.start()
        while time.monotonic() - began < seconds and not self._stop.is_set():
            self._guarded(self._chaos.act)
        self._stop.set()
        for thread in (*threads, checker):
            thread.join(_CLIENT_GONE_S)
            if thread.is_alive():
                self.tally.note_miss("defects", f"{thread} does not end")
        self._guarded(self._end)
        return time.monotonic() - began

    def close(self) -> None:
        """Ends what is left."""
        self.tally.pulse.stop()
        self._lives.close()

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._stop.is_set():
            self._guarded(act)

    def _guarded(self, act: Callable[[], None]) -> None:
        """A check that fails is a miss, and the end: more would say nothing."""
        try:
            act()
        except Exception as error:
            self.tally.note_miss("defects", f"{type(error).__name__}: {error}")
            self._stop.set()

    # Looking.

    def _keep_looking(self) -> None:
        while not self._stop.wait(_BETWEEN_CHECKS_S):
            life = self.tally.life
            try:
                agents = self._lives.agents()
            except (OSError, EOFError):
                continue  # no daemon just now
            self._guarded(lambda agents=agents: self._look(agents))  # type: ignore[misc]
            del life

    def _look(self, agents: list[Mapping[str, Any]]) -> None:
        """Rows first, then the evidence: what a row tells was said before."""
        agents = [one for one in agents if one["executor"] == "shell"]
        known = {one["id"] for one in agents}
        lines = [x for x in self._lives.evidence.lines() if x.agent in known]
        gone = self._lives.gone(agents)
        misses = compare(lines, agents, self._lives.killed, gone)
        for name, found in misses._asdict().items():
            for what in found:
                self.tally.note_miss(name, what)
        live = [one["task"] for one in agents if one["status"] != "ended"]
        for task in live:
            if live.count(task) > 1:
                self.tally.note_miss("doubled", f"two live agents of {task}")
        now, before = time.monotonic(), self._zombies
        zombies = [x.pid for x in self._lives.den.inmates() if x.is_zombie]
        self._zombies = {pid: before.get(pid, now) for pid in zombies}
        for pid, since in self._zombies.items():
            if now - since > _ZOMBIE_S:
                self.tally.note_miss("zombies", f"{pid} is not waited for")
        self.tally.count("checks")

    # The end.

    def _end(self) -> None:
        lives, tally = self._lives, self.tally
        if lives.pid is None:
            self._chaos.start()
        lives.project.wg("service", "resume")
        tasks = {task["id"]: task for task in lives.read("list")}
        for task in tasks.values():
            if task["paused"]:
                lives.project.wg("resume", task["id"])
        try:
            wait_for(
                lambda: bool(lives.read("status")["idle"]),
                "the end of all work",
                _DRAIN_S,
            )
        except AssertionError as error:
            live = [x for x in lives.agents() if x["status"] != "ended"]
            tally.note_miss("not ended", f"{error}: {live}")
        tasks = {task["id"]: task for task in lives.read("list")}
        agents = lives.agents()
        self._count(tasks, agents)
        self._look(agents)
        for agent in {x.agent for x in lives.evidence.lines()} - {
            x["id"] for x in agents
        }:
            tally.note_miss("lost", f"{agent} ran and has no row")
        for client in self._clients:
            for what in client.misses(tasks):
                tally.note_miss("forgotten", what)
        self._check_claims(tasks)
        self._check_rest(tasks)
        try:
            lives.wait_alone()
        except AssertionError as error:
            tally.note_miss("leftovers", str(error))
        try:
            lives.finish(_FINDINGS)
        except AssertionError as error:
            tally.note_miss("wrong counts", str(error))

    def _count(
        self,
        tasks: Mapping[str, Mapping[str, Any]],
        agents: list[Mapping[str, Any]],
    ) -> None:
        lines = self._lives.evidence.lines()
        self.tally.count("tasks", len(tasks))
        self.tally.count("starts", sum(x.what == "started" for x in lines))
        ended = [x for x in agents if x["executor"] == "shell" and x["ended_at"]]
        self.tally.count("ends", len(ended))

    def _check_claims(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Of all who tried to claim a shared task one was told that it is theirs."""
        winners: dict[str, list[str]] = {}
        for client in self._clients:
            for task in client.claimed:
                winners.setdefault(task, []).append(client.name)
        for task, names in winners.items():
            if names[1:]:
                self.tally.note_miss("claimed twice", f"{task} by {names}")
            if tasks[task]["status"] != "in-progress":
                what = (
                    f"{task} was claimed by {names[0]} and is {tasks[task]['status']}"
                )
                self.tally.note_miss("forgotten", what)

    def _check_rest(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """What is neither settled nor a person's has a reason that is no machine's."""
        by_hand = FOR_PERSONS[1]
        for task in tasks.values():
            if task["executor"] == by_hand or task["id"].startswith(SHARED):
                continue
            if task["status"] not in {"open", "in-progress", "pending-review"}:
                continue
            reasons = self._lives.read("why", task=task["id"])["reasons"]
            codes = {reason["code"] for reason in reasons}
            if not codes or codes - {"dependency_failed", "dependency_open"}:
                self.tally.note_miss(
                    "not ended", f"{task['id']}: {task['status']}, {codes}"
                )
