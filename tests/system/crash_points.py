"""The named points at which a daemon is killed: one table, with a sentence each.

A point is a function of workgraph, before or after what it does. It is wrapped from
outside (`crash_trap`) in a process that otherwise runs as ever (`crash_wgd`): the
program knows nothing of it.
"""
# ruff: noqa: E501 - the table has a row for each point

import importlib
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from workgraph.agents import shell
from workgraph.graph import chat_requests as c
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.status import Verb

When = Literal["before", "after", "inside"]

_COMMIT: Final = "workgraph.store.database:_JobConnection.execute"
_SCRIPT: Final = "workgraph.store.database:_JobConnection.executescript"
_FORK: Final = "asyncio:create_subprocess_exec"
_SIGNAL_GROUP: Final = "workgraph.agents.kill:signal_group"
#: By the cgroup, where there is one, else one by one.
_ENDS_REST: Final = "workgraph.agents.cgroups:kill workgraph.agents.kill:_kill"


class Seen(NamedTuple):
    """A call of a wrapped function, as conditions look at it."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Any
    transaction: "Transaction"


class Transaction(NamedTuple):
    """What the writing connection is about."""

    #: The request that it carries out; null for a tick.
    request: Any = None
    from_agent: bool = False
    kinds: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()


def _always(_: Seen) -> bool:
    return True


class Point(NamedTuple):
    """A point in the program at which it can be killed.

    Args:
        stage: The work that leads there (`crash_stages`).
        target: The function, as `module:name`, where its callers look it up; or
            several, of which the first that is called counts.
        only: Which of its calls count.
    """

    name: str
    says: str
    stage: str
    target: str
    when: When
    only: Callable[[Seen], bool] = _always
    #: Which of them is the first that counts, and how many there are at least.
    nth: int = 1
    times: int = 1


def _request(kind: type, *, agent: bool = False) -> Callable[[Seen], bool]:
    """The commit of a request."""

    def is_it(seen: Seen) -> bool:
        mine = seen.transaction
        return (
            seen.args[1] == "commit"
            and isinstance(mine.request, kind)
            and mine.from_agent == agent
        )

    return is_it


def _tick(*, kind: str = "", verb: str = "") -> Callable[[Seen], bool]:
    """The commit of a tick that tells such a change."""

    def is_it(seen: Seen) -> bool:
        mine = seen.transaction
        return (
            seen.args[1] == "commit"
            and mine.request is None
            and (kind in mine.kinds or verb in mine.verbs)
        )

    return is_it


def _forks_agent(seen: Seen) -> bool:
    return shell.NAME in seen.args


def _forks_gate(seen: Seen) -> bool:
    return "WG_GATE" in (seen.kwargs.get("env") or {})


def _sends(number: int) -> Callable[[Seen], bool]:
    return lambda seen: number in seen.args[2:] and seen.result is not False


def _makes_folder(seen: Seen) -> bool:
    return os.path.basename(str(seen.args[0])).startswith("agent-")


_CLAIM: Final = _tick(verb=Verb.CLAIM)
_STARTED: Final = _tick(kind=ChangeKind.AGENT_STARTED)
_ENDED: Final = _tick(kind=ChangeKind.AGENT_ENDED)
_JUDGED: Final = _tick(kind=ChangeKind.GATE_JUDGED)
_ITERATED: Final = _tick(kind=ChangeKind.LOOP_ITERATED)
_ASSIGNED: Final = _tick(kind=ChangeKind.ASSIGNED)
_ERRAND: Final = _tick(kind=ChangeKind.TASK_ADDED)
_REWARDED: Final = _tick(kind=ChangeKind.REWARD_RECORDED)
_ANSWERED: Final = _tick(verb="reply")
_CRASHED: Final = _tick(kind=ChangeKind.CHAT_CRASHED)
_SEND: Final = _request(c.SendToChat)
_ARCHIVE: Final = _request(c.ArchiveChat)
_PURGE: Final = _request(c.PurgeChats)
_ADD: Final = _request(r.AddTask)
_IMPORT: Final = _request(r.ImportGraph)
_KILL: Final = _request(r.KillAgents)
_VERDICT: Final = _request(r.FinishTask, agent=True)

POINTS: Final = tuple(
    Point(*row)
    for row in (
        # Requests
        ("request-before-commit", "a request is carried out, not committed", "add", _COMMIT, "before", _ADD),
        ("request-after-commit", "a request is committed, nobody knows it yet", "add", _COMMIT, "after", _ADD),
        ("reply-before-sent", "the answer of `wg` is made, its end not sent", "add", "workgraph.daemon.streams:Streams.finish", "before"),
        ("line-before-sent", "the answer of a line of JSON is made, not sent", "add-line", "workgraph.daemon.service:Service.answer_line", "after"),
        ("import-before-commit", "a whole graph is written, not committed", "import", _COMMIT, "before", _IMPORT),
        ("import-after-commit", "a whole graph is committed", "import", _COMMIT, "after", _IMPORT),
        ("verdict-before-commit", "an agent has said done, that is not committed", "verdict", _COMMIT, "before", _VERDICT),
        ("verdict-after-commit", "an agent has said done, it has no answer", "verdict", _COMMIT, "after", _VERDICT),
        ("spawn-before-commit", "`wg spawn` has claimed a task, not committed", "spawn", _COMMIT, "before", _request(r.SpawnAgent)),
        ("spawn-after-commit", "`wg spawn` has committed a claim, nothing is started", "spawn", _COMMIT, "after", _request(r.SpawnAgent)),
        ("export-before-sent", "a graph was exported, nothing of it is written", "export", "workgraph.daemon.special:Special._export", "after"),
        ("backup-copied", "a backup's copy is made, nothing of it is written", "backup", "workgraph.store.database:Store.back_up", "after"),
        # From a claim to a process
        ("claim-before-commit", "a tick has claimed tasks, not committed", "work", _COMMIT, "before", _CLAIM),
        ("claim-after-commit", "a tick has committed claims, nothing is started", "work", _COMMIT, "after", _CLAIM),
        ("folder-before-made", "agents are to be started, no folder is there", "work", "workgraph.agents.wrapper:prepare", "before"),
        ("folder-half-made", "an agent's folder is there, its files are not", "work", "os:mkdir", "after", _makes_folder, 1, 3),
        ("folder-made", "folders and files are there, nothing is started", "work", "workgraph.agents.wrapper:prepare", "after"),
        ("folder-locked", "an agent's folder is locked, nothing is forked", "work", "workgraph.agents.record:take_lock", "after", _always, 1, 3),
        ("wrapper-forked", "the wrapper is forked, nobody has noted its pid", "work", _FORK, "after", _forks_agent, 1, 3),
        ("start-before-told", "an agent runs, the engine does not know it yet", "work", "workgraph.agents.process:RealLauncher.launch", "after", _always, 1, 3),
        ("assign-before-commit", "a tick has chosen who does a task, not committed", "assign", _COMMIT, "before", _ASSIGNED),
        ("assign-after-commit", "a tick has committed a choice with its claim", "assign", _COMMIT, "after", _ASSIGNED),
        ("start-before-commit", "the record of a start is written, not committed", "work", _COMMIT, "before", _STARTED),
        ("start-after-commit", "the record of a start is committed", "work", _COMMIT, "after", _STARTED),
        # The same, and the agent leaves no record of itself
        ("attack-removal-unrecorded", "an agent has removed its folder, nobody has noted its pid", "attack", _FORK, "after", _forks_agent),
        ("attack-another-unrecorded", "it has made another one with a better end", "attack", _FORK, "after", _forks_agent),
        ("attack-file-unrecorded", "it has put a file in the place of its folder", "attack", _FORK, "after", _forks_agent),
        ("attack-nonsense-unrecorded", "it has written nonsense into its record", "attack", _FORK, "after", _forks_agent),
        ("attack-pipe-unrecorded", "it has put pipes in the place of its record", "attack", _FORK, "after", _forks_agent),
        ("attack-folder-unrecorded", "it has put folders in the place of its record", "attack", _FORK, "after", _forks_agent),
        # From an exit to its consequences
        ("exit-before-told", "an agent was reaped, nothing says how it ended", "work", "workgraph.agents.process:RealLauncher.wait_ended", "after", _always, 1, 3),
        ("end-before-commit", "the record of an end is written, not committed", "work", _COMMIT, "before", _ENDED),
        ("end-after-commit", "the record of an end is committed with what follows", "work", _COMMIT, "after", _ENDED),
        ("sweep-before", "an end is recorded, what the agent left behind runs on", "leave-behind", "workgraph.agents.kill:end_all", "before", _always, 2),
        ("sweep-found", "what an agent left behind is found, not ended", "leave-behind", _ENDS_REST, "before"),
        # The kill ladder
        ("kill-before-commit", "the order to end an agent is not committed", "kill", _COMMIT, "before", _KILL),
        ("kill-after-commit", "the order to end an agent is committed, nothing sent", "kill", _COMMIT, "after", _KILL),
        ("ladder-before-term", "the ladder begins, nothing is sent", "kill", "workgraph.agents.kill:climb", "before"),
        ("ladder-after-term", "TERM is sent, the grace begins", "kill", _SIGNAL_GROUP, "after", _sends(signal.SIGTERM)),
        ("ladder-before-kill", "the grace is over, KILL is not sent", "kill", _SIGNAL_GROUP, "before", _sends(signal.SIGKILL)),
        ("ladder-after-kill", "KILL is sent, nobody has looked who is left", "kill", _SIGNAL_GROUP, "after", _sends(signal.SIGKILL)),
        ("ladder-search", "the search for what is left has found some", "kill-tree", _ENDS_REST, "before"),
        ("stopped-before-answer", "an agent was ended for `wg kill`, nobody is told", "kill", "workgraph.daemon.engine:Engine.end_agents", "after"),
        # Gates
        ("gate-running", "a --verify command runs", "gate", _FORK, "after", _forks_gate),
        ("gate-before-commit", "what a gate said is not committed", "gate", _COMMIT, "before", _JUDGED),
        ("gate-after-commit", "what a gate said is committed with what follows", "gate", _COMMIT, "after", _JUDGED),
        ("loop-before-commit", "a loop begins its next iteration, not committed", "loop", _COMMIT, "before", _ITERATED),
        ("loop-after-commit", "the next iteration of a loop is committed", "loop", _COMMIT, "after", _ITERATED),
        # Judgements, and what an assigner and an evaluator are asked
        ("checks-before-commit", "a tick has scored an attempt, not committed", "checks", _COMMIT, "before", _REWARDED),
        ("checks-after-commit", "a score is committed with what it was made from", "checks", _COMMIT, "after", _REWARDED),
        ("ask-before-commit", "a tick has added assign-T, not committed", "ask", _COMMIT, "before", _ERRAND),
        ("ask-after-commit", "assign-T is committed, and T waits for it", "ask", _COMMIT, "after", _ERRAND),
        ("judge-before-commit", "a tick has added reward-T, not committed", "judge", _COMMIT, "before", _ERRAND),
        ("judge-after-commit", "reward-T is committed, with the end of the attempt", "judge", _COMMIT, "after", _ERRAND),
        ("verdict-read-before-commit", "an evaluator's score is read, not committed", "judge", _COMMIT, "before", _REWARDED),
        ("verdict-read-after-commit", "an evaluator's score is committed", "judge", _COMMIT, "after", _REWARDED),
        # Chats: from a message to its answer, the end of a handler, and of a chat
        ("message-before-commit", "a message is written, not committed", "chat-send", _COMMIT, "before", _SEND),
        ("message-after-commit", "a message is committed, nobody is told", "chat-send", _COMMIT, "after", _SEND),
        ("deliver-before-commit", "a handler is to have a message, not committed", "chat", "workgraph.store.chats:deliver", "after"),
        ("deliver-after-commit", "it is to have it, that is committed, nothing is written", "chat", "workgraph.agents.process:RealLauncher.write_input", "before"),
        ("deliver-written", "a handler has a message, nobody has noted it", "chat", "workgraph.agents.process:RealLauncher.write_input", "after"),
        ("answer-before-commit", "an answer is read, not committed", "chat", _COMMIT, "before", _ANSWERED),
        ("answer-after-commit", "an answer is committed, nobody is told", "chat", _COMMIT, "after", _ANSWERED),
        ("line-before-written", "what was said is committed, it is in no file", "chat", "workgraph.daemon.chat_files:_append", "before", _always, 1, 2),
        ("line-after-written", "what was said is in its file", "chat", "workgraph.daemon.chat_files:_append", "after", _always, 1, 2),
        ("settle-before-commit", "the crash of a handler is written, not committed", "chat-crash", _COMMIT, "before", _CRASHED),
        ("settle-after-commit", "the crash of a handler is committed, its message waits", "chat-crash", _COMMIT, "after", _CRASHED),
        ("archive-before-commit", "a chat is put away, not committed", "chat-archive", _COMMIT, "before", _ARCHIVE),
        ("archive-after-commit", "a chat is put away, its handler lives", "chat-archive", _COMMIT, "after", _ARCHIVE),
        ("purge-before-commit", "all chats are put away, not committed", "chat-purge", _COMMIT, "before", _PURGE),
        ("purge-after-commit", "all chats are put away, their handlers live", "chat-purge", _COMMIT, "after", _PURGE),
        # Starting up, with agents that live and agents that have ended meanwhile
        ("boot-locked", "the project is locked, nothing is read", "boot", "workgraph.daemon.lock:ProjectLock.acquire", "after"),
        ("boot-opened", "the database is open, no agent is settled", "boot", "workgraph.store.database:Store.open", "after"),
        ("boot-one-settled", "one of several agents is settled", "boot", "workgraph.daemon.effects:Effects.settle", "after", _always, 1, 3),
        ("boot-all-settled", "all agents are settled, nothing is recorded", "boot", "workgraph.daemon.engine:Engine.begin", "before"),
        ("boot-recorded", "what has ended meanwhile is written, not committed", "boot", _COMMIT, "before", _ENDED),
        ("boot-bound", "the socket is there, nobody answers", "boot", "workgraph.daemon.lock:bind_socket", "after"),
        # Ending
        ("stop-draining", "the daemon has been told to end, agents run", "stop", "workgraph.daemon.engine:Engine.flush", "before"),
        ("stop-flushed", "all is written down, the database is open", "stop", "workgraph.store.database:Store.close", "before"),
        ("stop-closed", "the database is closed, the lock is held", "stop", "workgraph.daemon.lock:ProjectLock.release", "before"),
        ("stop-agents-ordered", "`service stop --kill-agents` is committed", "stop-agents", _COMMIT, "after", _request(r.Shutdown)),
        # A new database, and `wg` without a daemon
        ("migration-before-commit", "a migration has run, it is not committed", "migrate", _SCRIPT, "inside"),
        ("migration-after-commit", "a migration is committed", "migrate", _SCRIPT, "after"),
        ("offline-before-commit", "`wg` alone has carried out a request", "offline-add", _COMMIT, "before", _ADD),
        ("offline-after-commit", "`wg` alone has committed a request", "offline-add", _COMMIT, "after", _ADD),
        ("offline-tick-forked", "`wg service tick` has forked a wrapper", "offline-tick", _FORK, "after", _forks_agent),
    )
)  # fmt: skip
BY_NAME: Final = {point.name: point for point in POINTS}


def find(target: str) -> tuple[Any, str, Any]:
    """The owner of a function, its name there, and the function.

    Raises:
        AttributeError: It is not there any more.
    """
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *owners, name = path.split(".")
    for one in owners:
        owner = getattr(owner, one)
    found = vars(owner).get(name) if isinstance(owner, type) else None
    return owner, name, found if found is not None else getattr(owner, name)
