"""The clients of a soak: each says one thing after another, and remembers.

What a client was answered must be so at the end; what it has no answer to may be so,
but once. A client changes its own tasks alone, so that its memory is exact.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, Final

from tests.soak.tally import Tally
from tests.system.crash_lives import Lives
from tests.system.nasty import NASTY, name_of

#: Agents that do what they should, in some time: most of the work.
GOOD: Final = "works"
KINDS: Final = 'case $kind in works) sleep "$1"; leave "$2" ;; esac'
#: Tasks that all clients try to claim.
SHARED: Final = "shared"
#: No agent is ever started on these.
FOR_PERSONS: Final = ("--executor", "by-hand")


class Heard(Enum):
    """What became of a request, as its client knows it."""

    DONE = "done"
    REFUSED = "refused"
    #: The daemon ended before it answered: it may be so.
    NOTHING = "no answer"


@dataclass
class Memory:
    """What a client knows of a task of its own."""

    certain: bool
    priorities: set[int]
    logged: list[str] = field(default_factory=list)
    #: Of these there may be one.
    maybe_logged: list[str] = field(default_factory=list)


class Client:
    """One client; the seed and its number decide all that it says.

    Args:
        kinds: The kinds of nasty agents that it may ask for.
    """

    def __init__(
        self, number: int, seed: int, lives: Lives, tally: Tally, kinds: Sequence[str]
    ) -> None:
        self.name = f"c{number}"
        self.claimed: list[str] = []
        self.memory: dict[str, Memory] = {}
        self._random = Random(f"{seed}/{self.name}")
        self._lives = lives
        self._tally = tally
        self._kinds = kinds
        self._said = 0
        self._acts: tuple[tuple[int, Callable[[], None]], ...] = (
            (40, self._add),
            (12, self._log),
            (8, self._edit),
            (6, self._link),
            (6, self._pause_or_resume),
            (6, self._retry),
            (2, self._abandon),
            (6, self._claim_shared),
            (6, self._work_as_person),
            (8, self._read),
        )

    def act(self) -> None:
        """Says the next thing."""
        weights, acts = zip(*self._acts, strict=True)
        self._said += 1
        self._random.choices(acts, weights)[0]()

    def misses(self, tasks: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What was answered and is not so, or is so twice."""
        found = []
        for task, memory in self.memory.items():
            if task not in tasks:
                if memory.certain:
                    found.append(f"{task} was added and is not there")
                continue
            priority = tasks[task]["priority"]
            if priority not in memory.priorities:
                found.append(f"{task}: priority {priority}, not {memory.priorities}")
            if memory.logged or memory.maybe_logged:
                found += self._log_misses(task, memory)
        return found

    def _log_misses(self, task: str, memory: Memory) -> list[str]:
        entries = json.loads(self._lives.project.wg("--json", "log", task, "--list"))
        said = [x["message"] for x in entries["data"] if x["kind"] == "log"]
        return [
            f"{task}: {text!r} was logged {said.count(text)} times"
            for text in (*memory.logged, *memory.maybe_logged)
            if said.count(text) > 1 or (text in memory.logged and text not in said)
        ]

    # What it says.

    def _add(self) -> None:
        draw = self._random
        task = f"{self.name}-{self._said}"
        options = ["--priority", priority := str(draw.randrange(5))]
        for dep in {self._pick() for _ in range(draw.choice((0, 0, 1, 2)))} - {""}:
            options += ["--after", dep]
        if draw.random() < 0.1:
            options += ["--verify", draw.choice(("true", "sleep 0.1", "false"))]
        if draw.random() < 0.1:
            options.append("--paused")
        heard = self._say("add", task, "--id", task, *options, *self._work())
        if heard is not Heard.REFUSED:
            certain = heard is Heard.DONE
            self.memory[task] = Memory(certain=certain, priorities={int(priority)})

    def _work(self) -> list[str]:
        """The agent of a new task, as options."""
        draw = self._random
        kind = draw.choice(self._kinds)
        if draw.random() < 0.6:
            takes_s, code = draw.random() ** 3 * 2, draw.choice((0, 0, 0, 0, 0, 7))
            command = self._lives.evidence.agent(GOOD, f"{takes_s:.2f}", code)
            return ["--exec", command]
        limit = NASTY[kind].limits.get("timeout_s", 20)
        command = self._lives.evidence.agent(name_of(kind))
        return ["--exec", command, "--timeout", f"{limit}s", "--max-attempts", "2"]

    def _log(self) -> None:
        task = self._pick()
        text = f"{self.name} says {self._said}"
        heard = self._say("log", task, text)
        if heard is Heard.DONE:
            self.memory[task].logged.append(text)
        elif heard is Heard.NOTHING:
            self.memory[task].maybe_logged.append(text)

    def _edit(self) -> None:
        task, priority = self._pick(), self._random.randrange(5)
        heard = self._say("edit", task, "--priority", str(priority))
        if heard is Heard.DONE:
            self.memory[task].priorities = {priority}
        elif heard is Heard.NOTHING:
            self.memory[task].priorities.add(priority)

    def _link(self) -> None:
        word = self._random.choice(("link", "unlink"))
        self._say(word, self._pick(), "--after", self._pick())

    def _pause_or_resume(self) -> None:
        self._say(self._random.choice(("pause", "resume", "resume")), self._pick())

    def _retry(self) -> None:
        # What is done stays done: evidence would take another run for a second one.
        task = self._pick()
        if self._status(task) in {"failed", "abandoned"}:
            self._say("retry", task)

    def _abandon(self) -> None:
        self._say("abandon", self._pick())

    def _claim_shared(self) -> None:
        task = f"{SHARED}-{self._random.randrange(200)}"
        added = self._say("add", task, "--id", task, *FOR_PERSONS)
        del added  # another client may have been first
        words = ("claim", task, "--actor", self.name, "--force")
        if self._say(*words) is Heard.DONE:
            self.claimed.append(task)

    def _work_as_person(self) -> None:
        task = f"{self.name}-p{self._said}"
        priority = self._random.randrange(5)
        words = ("add", task, "--id", task, "--priority", str(priority), *FOR_PERSONS)
        if self._say(*words) is not Heard.DONE:
            return
        self.memory[task] = Memory(certain=True, priorities={priority})
        self._say("claim", task, "--actor", self.name, "--force")
        end = self._random.choice(("done", "fail", "unclaim"))
        self._say(end, task, *(("--reason", "no") if end == "fail" else ()))

    def _read(self) -> None:
        words = self._random.choice(("show", "why", "task-status", "list", "agents"))
        self._say(words, *(() if words in {"list", "agents"} else (self._pick(),)))

    # How it is heard.

    def _pick(self) -> str:
        """A task of its own; there may be none."""
        draw = self._random.random()
        known = [x for x, memory in self.memory.items() if memory.certain]
        return known[int(draw * len(known))] if known else ""

    def _status(self, task: str) -> str:
        return self._run("task-status", task)[1].strip() if task else ""

    def _say(self, *words: str) -> Heard:
        return self._run(*words)[0] if "" not in words else Heard.REFUSED

    def _run(self, *words: str) -> tuple[Heard, str]:
        lives, tally = self._lives, self._tally
        life, began, lost = tally.life, time.monotonic(), tally.pulse.lost_s
        done = lives.project.run(*words)
        took = time.monotonic() - began - (tally.pulse.lost_s - lost)
        if "ended before it answered" in done.stderr:
            heard = Heard.NOTHING
        else:
            heard = Heard.DONE if done.returncode == 0 else Heard.REFUSED
        undisturbed = life == tally.life and life % 2 == 1
        tally.note_request(heard.value, took if undisturbed else None)
        if "Traceback" in done.stderr or "a defect of workgraph" in done.stderr:
            tally.note_miss("defects", f"wg {' '.join(words)}: {done.stderr}")
        return heard, done.stdout
