"""Every command that takes a task, or an agent, given a chat: what a user reads then.

The chat is one that can be used, one that is archived and one that is not there, with
a daemon and without one, in words and as JSON.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from tests.core import running_core
from tests.daemon.test_service_lines import PEER, a_service
from workgraph.commands.app import build_app
from workgraph.commands.render import render_error
from workgraph.daemon.call import Call
from workgraph.daemon.engine import Mode
from workgraph.daemon.service import Service
from workgraph.graph.chat_requests import ArchiveChat, CreateChat, SendToChat
from workgraph.graph.errors import WorkgraphError

pytestmark = pytest.mark.slow

LIVE, ARCHIVED, UNKNOWN = ".chat-1", ".chat-2", ".chat-99"
AGAIN: Final = "wg chat restore .chat-2 takes it up again"
SEND: Final = "wg chat send .chat-1 TEXT"
SHOW: Final = "wg chat show .chat-1 says how it stands"
NOTE: Final = "wg log {} TEXT leaves a note in its log"
SAID: Final = "wg chat history {} shows what was said"
WHO: Final = "wg chat show {} says who answers"
ALONE: Final = "leave it out: tasks alone go together"
AWAY: Final = "wg chat archive .chat-1 puts it away"
STOP: Final = "wg chat interrupt .chat-1 stops the answer that is"

#: What is for work alone: the words, `{}` being the chat, then the hint for one that
#: can be used, and for one that is archived.
WORK: Final = (
    ("match {}", WHO, WHO),
    ("match {} --explain", WHO, WHO),
    ("assign {} default", WHO, WHO),
    ("assign {} --auto", WHO, WHO),
    ("trajectory {}", SAID, SAID),
    ("claim-trajectory t {}", ALONE, ALONE),
    ("loop t {} --max 2", ALONE, ALONE),
    ("link {} --after t", "wg link TASK --after {} is the other way", None),
    ("claim {}", "wg chat attach .chat-1", AGAIN),
    ("spawn {}", "wg chat attach .chat-1", AGAIN),
    ("unclaim {}", f"{STOP} being given", AGAIN),
    ("done {}", AWAY, AGAIN),
    ("submit {}", AWAY, AGAIN),
    ("fail {} --reason x", AWAY, AGAIN),
    ("approve {}", AWAY, AGAIN),
    ("reject {} --reason x", AWAY, AGAIN),
    ("abandon {}", AWAY, AGAIN),
    ("pause {}", f"{AWAY}, {STOP} given", AGAIN),
    ("resume {}", SHOW, AGAIN),
    ("retry {}", f"{SEND} has it answer, {SHOW}", AGAIN),
    ("wait {} --until message", f"{SEND} --wait 5m waits for the reply", AGAIN),
    ("ask {} why", SEND, AGAIN),
    ("answer {} this", SEND, AGAIN),
    ("msg {} hello", SEND, AGAIN),
    ("progress {} 40 half", NOTE, NOTE),
    ("artifact {} /nowhere", NOTE, NOTE),
    ("reward record {} --score 0.5", SAID, SAID),
    ("reward run {}", SAID, SAID),
)
#: What is answered, of a chat that can be used and of one that is archived.
ANSWERED: Final = (
    "show {}",
    "why {}",
    "task-status {}",
    "log {} --list",
    "log {} note",
    "msg {} --list",
    "heartbeat {}",
    "reward show {}",
    "link t --after {}",
    "unlink t --after {}",
    "unlink {} --after t",
    "context {}",
    "plan {}",
    "spend --task {}",
    "chat show {}",
    "chat history {}",
    "chat interrupt {}",
    "add next --exec true --after {}",
)
#: What changes it, or is said to it: an archived one takes none of that.
CHANGES: Final = ("edit {} -d what-it-is-for", "chat send {} hello")
#: What is about agents leads on to the one of the task.
AGENTS: Final = ("output {}", "kill {}")
#: What is answered with a stream, or by somebody: without a daemon these refuse.
STREAMS: Final = ("watch --task {}", "chat attach {}", "chat send {} hello --wait 1s")
#: These change whether it can be used; another test has them.
PUT_AWAY: Final = ("chat archive {}", "chat restore {}")


@dataclass
class Streams:
    """What was written, and nothing to be read."""

    written: list[str] = field(default_factory=list)
    complained: list[str] = field(default_factory=list)

    async def out(self, data: str | bytes) -> None:
        """To standard output."""
        self.written.append(data if isinstance(data, str) else data.decode())

    async def err(self, data: str | bytes) -> None:
        """To standard error."""
        self.complained.append(data if isinstance(data, str) else data.decode())

    async def out_or_drop(self, data: str | bytes) -> None:
        """The same."""
        await self.out(data)

    @asynccontextmanager
    async def interruptible(self) -> AsyncGenerator[None]:
        """Nobody goes away."""
        yield

    async def read_stdin(self, limit: int) -> bytes:
        """Nothing."""
        del limit
        return b""

    async def read_file(self, path: str, limit: int) -> bytes:
        """Nothing."""
        del path, limit
        return b""

    async def write_file(self, path: str, chunks: AsyncGenerator[bytes]) -> None:
        """Nothing is written."""
        del path
        await chunks.aclose()


@dataclass
class Told:
    """What a user of a terminal or a script is left with."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> dict[str, str]:
        """The error as JSON."""
        error: dict[str, str] = json.loads(self.err)["error"]
        return error


async def wg(service: Service, words: str, chat: str, *, as_json: bool = False) -> Told:
    """What a command line is answered with."""
    argv = [*words.format(chat).split(), *(["--json"] if as_json else [])]
    streams = Streams()
    call = Call(
        argv=tuple(argv),
        cwd="/project",
        umask=0o077,
        tty=(False, False, False),
        columns=0,
        env={"USER": "me"},
        version="0",
        pid=1,
        peer=PEER,
    )
    try:
        status = await service.run_call(call, streams)
    except WorkgraphError as error:
        status = error.exit_code
        await streams.err(render_error(error, as_json))
    return Told(status, "".join(streams.written), "".join(streams.complained))


@asynccontextmanager
async def two_chats(folder: Path, *, daemon: bool) -> AsyncGenerator[Service]:
    """One that can be used, one that is archived, and a task."""
    async with running_core(
        "dispatcher.max_agents=0", mode=Mode(is_daemon=daemon)
    ) as core:
        await core.add("t", paused=True)
        for name in ("plans", "old"):
            await core.say(CreateChat(name=name, exec="cat"))
        await core.say(ArchiveChat(task=ARCHIVED))
        yield a_service(core, folder)


both = pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "offline"])


@both
async def test_what_is_for_work_leads_on(tmp_path: Path, *, daemon: bool) -> None:
    """Refused with 1, what it is and what can be done instead; unknown ones with 3."""
    async with two_chats(tmp_path, daemon=daemon) as service:
        for words, live, archived in WORK:
            verb = words.partition(" {}")[0].removesuffix(" t")
            for chat, hint, what in (
                (LIVE, live, "a"),
                (ARCHIVED, archived or live, "an archived"),
            ):
                told = await wg(service, words, chat)
                assert (told.status, told.out) == (1, ""), (words, told)
                message = f"wg: {chat} is {what} conversation, which takes no wg {verb}"
                [said, remedy] = told.err.splitlines()
                assert said == message, words
                assert remedy.startswith(f"hint: {hint.format(chat)}"), (words, remedy)
                again = await wg(service, words, chat, as_json=True)
                assert (again.status, again.out) == (1, ""), words
                assert again.error["code"] == "refused"
                assert again.error["message"] == message.removeprefix("wg: ")
                assert again.error["hint"] == remedy.removeprefix("hint: ")


@both
async def test_what_is_not_there(tmp_path: Path, *, daemon: bool) -> None:
    """3 and the nearest ids, whatever is asked, and before a daemon is asked for."""
    async with two_chats(tmp_path, daemon=daemon) as service:
        every = [words for words, _, _ in WORK]
        every += (*ANSWERED, *CHANGES, *AGENTS, *STREAMS, *PUT_AWAY)
        for words in every:
            told = await wg(service, words, UNKNOWN, as_json=True)
            assert (told.status, told.out) == (3, ""), (words, told)
            assert told.error["code"] == "not_found", words
            assert UNKNOWN in told.error["message"], words
            near = "wg agents" if words in AGENTS else f"did you mean {ARCHIVED} or"
            assert near in told.error["hint"], (words, told.error)


@both
async def test_what_is_answered(tmp_path: Path, *, daemon: bool) -> None:
    """Of one that can be used, and of an archived one; JSON is one document."""
    async with two_chats(tmp_path, daemon=daemon) as service:
        for words in ANSWERED:
            for chat in (LIVE, ARCHIVED):
                told = await wg(service, words, chat)
                assert told.status == 0, (words, told)
                told = await wg(service, words, chat, as_json=True)
                assert (told.status, told.err) == (0, ""), (words, told)
                assert json.loads(told.out)["schema"] == "wg/1", words
        for words in CHANGES:
            assert (await wg(service, words, LIVE)).status == 0, words
            told = await wg(service, words, ARCHIVED, as_json=True)
            assert (told.status, told.error["code"]) == (1, "refused"), words
            assert told.error["message"].startswith(f"{ARCHIVED} is archived"), words
            assert told.error["hint"] == f"wg chat restore {ARCHIVED}", words
        for words in PUT_AWAY:
            for chat in (LIVE, ARCHIVED):
                assert (await wg(service, words, chat)).status == 0, (words, chat)


async def test_without_a_daemon_nobody_answers(tmp_path: Path) -> None:
    """What waits for somebody says so, and what to do; a message is told that."""
    async with two_chats(tmp_path, daemon=False) as service:
        for words in STREAMS:
            told = await wg(service, words, LIVE, as_json=True)
            assert (told.status, told.out) == (5, ""), (words, told)
            assert told.error["code"] == "daemon_needed", words
            assert told.error["hint"].startswith("wg service start"), words
        for words in STREAMS[1:]:
            told = await wg(service, words, ARCHIVED, as_json=True)
            assert (told.status, told.error["code"]) == (1, "refused"), words

        told = await wg(service, "chat send {} hello", LIVE)
        assert told == Told(
            0, "1\n", "nobody answers before a daemon runs: wg service start\n"
        )
        shown = (await wg(service, "chat show {}", LIVE)).out
        assert (
            "State: idle\nProblem: no daemon is running, so nobody answers\n" in shown
        )
        assert "Remedy: wg service start\n" in shown


async def test_the_agent_of_a_chat_is_named(tmp_path: Path) -> None:
    """Whoever takes the chat for an agent is told which one it is."""
    async with running_core() as core:
        service = a_service(core, tmp_path)
        await core.say(CreateChat(name="plans", exec="cat"))
        await core.do(SendToChat(task=LIVE, text="hello"))
        for words in AGENTS:
            told = await wg(service, words, LIVE, as_json=True)
            assert told.status == 3, words
            assert told.error["hint"] == f"{LIVE} is a task; agent-1 is its last agent"


def test_every_command_is_here() -> None:
    """A command that takes a task, an agent or a chat is in one of the tables."""
    every = [words for words, _, _ in WORK]
    every += (*ANSWERED, *CHANGES, *AGENTS, *STREAMS, *PUT_AWAY)
    known = {" ".join(words.split()[:2]).partition(" {}")[0] for words in every}
    known |= {words.split()[0] for words in every}

    assert {name for name in _takers() if name not in known} == set()


def _takers() -> Iterator[str]:
    """The commands that take an id of a task, an agent or a chat."""
    left: list[tuple[str, Any]] = [("", get_command(build_app()))]
    while left:
        name, command = left.pop()
        named = getattr(command, "commands", {})
        left += [(f"{name} {word}".strip(), one) for word, one in named.items()]
        taken = {one.name for one in command.params} & {
            *("task", "tasks", "agent", "agents", "after"),
            *(("id",) if name.startswith("chat ") else ()),
        }
        if not named and taken:
            yield name
