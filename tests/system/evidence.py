"""What agents say themselves, outside of `.wg`, and whether the database says the same.

An agent writes lines into one file, each with one write to a descriptor opened for
append, so that lines of many agents never mix and none is lost with its writer:

    agent-7 1 4711 T started
    agent-7 1 4711 T ended exit 7        (or: ended signal 9) its last word

The database is right when each agent started at most once and each recorded end is the
one that was announced. An agent that was killed from outside announces nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.system.project import whole_lines

#: Ends that the daemon itself brought about: the agent may have been cut short.
_ENDED_BY_US: Final = frozenset({"killed", "timed-out", "stalled", "budget"})

#: 128 + INT and 128 + PIPE.
_CODES_LIKE_SIGNALS: Final = frozenset({130, 141})

SCRIPT: Final = r"""#!/bin/sh
# agent.sh KIND [ARG]: what an agent of the tests does; says so in the file of evidence.
say() { printf '%s\n' "$WG_AGENT_ID $WG_ATTEMPT $$ $WG_TASK_ID $*" >>@EVIDENCE@; }
leave() { say ended exit "$1"; exit "$1"; }
die() { say ended signal "$1"; kill -"$1" $$; }
# whether no agent of this task has come here before: not all attempts are started
first() { mkdir "@FIFOS@/first-$WG_TASK_ID" 2>/dev/null; }
wait_word() { read -r word <"@FIFOS@/$1"; }
# what this agent does to its own record leaves nobody to tell its end
attack() { say attacks; }
say started
kind=$1
[ "$#" -eq 0 ] || shift
@MORE@
case $kind in
exit) leave "$1" ;;
signal) die "$1" ;;
# the first holds until it is told how to leave
hold) first && wait_word "$1"; leave "${word:-0}" ;;
# the same, and heeds no TERM
stubborn) trap '' TERM; first && wait_word "$1"; leave "${word:-0}" ;;
# leaves a process in a session of its own
setsid) setsid sleep 600 </dev/null >/dev/null 2>&1 & leave "$1" ;;
# the daemon's grandchild, with nothing in its environment and the lock closed
orphan)
    (env -i setsid sh -c 'sleep 600 & exit 0' </dev/null >/dev/null 2>&1 &)
    leave "$1" ;;
esac
echo "agent.sh: unknown kind $kind" >&2
leave 64
"""


class Line(NamedTuple):
    """One thing that an agent said."""

    agent: str
    attempt: int
    pid: int
    task: str
    what: str
    #: Of an end: `exit` or `signal`, and its number.
    how: str = ""
    number: int = 0


class Evidence:
    """The file, and the script whose agents write it.

    Args:
        folder: Where both are kept; not in `.wg`.
        more: More kinds of agents, as branches of shell code that end the script.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        self.file = folder / "evidence"
        self.script = folder / "agent.sh"
        self.fifos = folder / "fifos"
        self.fifos.mkdir()
        self.file.touch()
        text = SCRIPT.replace("@EVIDENCE@", f"'{self.file}'")
        text = text.replace("@FIFOS@", str(self.fifos)).replace("@MORE@", more)
        self.script.write_text(text)
        self.script.chmod(0o755)

    def agent(self, *words: object) -> str:
        """The command of a shell task whose agent does that."""
        return " ".join([f"exec '{self.script}'", *map(str, words)])

    def lines(self) -> list[Line]:
        """All that was said, in order."""
        found = []
        for line in whole_lines(self.file):
            agent, attempt, pid, task, what, *rest = line.split()
            how, number = (rest[0], int(rest[1])) if len(rest) > 1 else ("", 0)
            found.append(Line(agent, int(attempt), int(pid), task, what, how, number))
        return found

    def of_task(self, task: str, what: str = "started") -> list[Line]:
        """What was said about one task."""
        return [x for x in self.lines() if x.task == task and x.what == what]


class Misses(NamedTuple):
    """Where the database and the evidence do not agree; empty is well."""

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    misreported: tuple[str, ...] = ()


def compare(
    lines: Iterable[Line],
    agents: Sequence[Mapping[str, Any]],
    killed: Iterable[int] = (),
    gone: Iterable[str] = (),
) -> Misses:
    """Compares what agents said with their rows. Pure.

    Args:
        lines: The evidence.
        agents: As `wg agents --json` gives them, persons left out.
        killed: Pids that the test killed from outside.
        gone: Agents whose folders are not there.
    """
    rows = {row["id"]: row for row in agents}
    killed, gone = frozenset(killed), frozenset(gone)
    said: dict[str, list[Line]] = {}
    for line in lines:
        said.setdefault(line.agent, []).append(line)
    lost = [f"{agent} ran and has no row" for agent in said if agent not in rows]
    doubled, misreported = [], []
    for agent, row in rows.items():
        mine = said.get(agent, [])
        starts = [line for line in mine if line.what == "started"]
        if len(starts) > 1:
            doubled.append(f"{agent} started {len(starts)} times")
        misreported += [
            f"{agent} said {line}, its row {row}"
            for line in mine
            if (line.task, line.attempt) != (row["task"], row["attempt"])
        ]
        if row["status"] != "ended":
            continue
        end = next((line for line in mine if line.what == "ended"), None)
        was_killed = any(x.pid in killed or x.what == "attacks" for x in mine)
        if was_killed and agent in gone and _is_taken_for_unstarted(row):
            continue
        wrong = _wrong_end(row, end, started=bool(starts), was_killed=was_killed)
        if wrong:
            misreported.append(f"{agent}: {wrong}")
    doubled += _run_again(rows, said)
    return Misses(tuple(lost), tuple(doubled), tuple(misreported))


def _is_taken_for_unstarted(row: Mapping[str, Any]) -> bool:
    """Its start was never recorded, and so is said not to have been.

    The one corner that can't be told: the daemon was killed between the start and the
    record of it, and the agent has removed its whole folder. That is as before a start.
    """
    return row["outcome"] == "spawn-failed" and row["pid"] is None


def _wrong_end(
    row: Mapping[str, Any], end: Line | None, *, started: bool, was_killed: bool
) -> str | None:
    """What is wrong with the recorded end of one agent."""
    code, signal, outcome = row["exit_code"], row["signal"], row["outcome"]
    told = f"recorded code {code}, signal {signal}, {outcome}; it said {end}"
    if not started:
        # Nothing of it came to speak: only what says so is true.
        ours = outcome == "spawn-failed" or outcome in _ENDED_BY_US or was_killed
        return None if ours or outcome == "lost" else told
    if outcome == "spawn-failed":
        return f"it ran: {told}"
    if code is not None:
        right = end is not None and (end.how, end.number) == ("exit", code)
        return None if right else told
    if end is None:
        # It was cut short, by us, by the test, or by the fault that is tested.
        cut = outcome in _ENDED_BY_US or was_killed or signal is not None
        return None if cut else told
    if signal is not None and (end.how, end.number) == ("exit", 128 + signal):
        # of these two no shell says whether they are codes
        return None if end.number in _CODES_LIKE_SIGNALS else told
    if end.how == "signal":
        # null where the shell did not say which one it was
        return None if signal in {end.number, None} and outcome != "lost" else told
    # It had announced its exit, and was ended before it left.
    return None if outcome in _ENDED_BY_US or was_killed else told


def _run_again(
    rows: Mapping[str, Mapping[str, Any]], said: Mapping[str, Sequence[Line]]
) -> list[str]:
    """Tasks of which two attempts did the whole work.

    Tests that have a done task done again, by `retry`, leave these out. A chat is no
    work: one handler after another answers in it.
    """
    whole: dict[str, list[str]] = {}
    for agent, lines in said.items():
        if any(
            (line.what, line.how, line.number) == ("ended", "exit", 0) for line in lines
        ):
            task = lines[0].task
            if task.startswith(".chat-"):
                continue
            if agent in rows and rows[agent]["outcome"] in {"done", "submitted"}:
                whole.setdefault(task, []).append(agent)
    return [
        f"{task} was done by {agents}" for task, agents in whole.items() if agents[1:]
    ]
