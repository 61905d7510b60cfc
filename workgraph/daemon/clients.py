"""Follows what clients write while they run, and reads the rest when they have ended.

Each agent whose stream is structured has a reader. It is fed when the kernel says that
there is more, and what it has made of it is posted as a fact: at once when something
came up that decides, else now and then. The files are the truth: a daemon that takes
over an agent reads them from the start, and comes to the same.
"""

from collections.abc import Callable, Iterable
from glob import escape
from typing import Final

import anyio
import anyio.to_thread

from workgraph.agents.process import Launcher, Offsets, Written
from workgraph.agents.streams.reader import Reader, make_reader
from workgraph.agents.talk import LastWords, make_ear
from workgraph.daemon.feed import Feed
from workgraph.daemon.orders import Effect, Hearing, Listen, WriteInput
from workgraph.graph.ends import Report
from workgraph.graph.errors import may_pass
from workgraph.graph.facts import AgentReported, ChatHeard, Fact
from workgraph.logs import Logger

#: Between two looks at what one agent writes; what comes meanwhile is taken together.
_GAP_S: Final = 0.25
#: Somebody waits for what is said in a chat.
_CHAT_GAP_S: Final = 0.05
#: How long words that decide nothing are let pass before they are posted.
_WORDS_EVERY_S: Final = 2.0
#: Read at once of each log, so that a flood is no question of memory.
_PIECE: Final = 1 << 20


class ClientStream:
    """What one agent writes, as far as it is read.

    Args:
        agent: Its number.
        folder: Where its logs are.
        home: Where its client keeps what is its own; empty: that is not looked at.
        reader: Makes something of it; null where it is plain text.
        hearing: It answers in a chat.
    """

    def __init__(
        self,
        agent: int,
        folder: str,
        home: str,
        reader: Reader | None,
        hearing: Hearing | None = None,
    ) -> None:
        self.agent = agent
        self.folder = folder
        self._home = home
        self._reader = reader
        # a stream makes sense from its start on only
        start = hearing.read if hearing is not None and reader is None else 0
        self.offsets: Offsets = (start, 0)
        self.ear = (
            make_ear(hearing.kind, start, hearing.read) if hearing is not None else None
        )
        #: The file that its client keeps, once it is found, and how much of it is read.
        self.kept: str | None = None
        self.kept_offset = 0
        self._posted = Report()
        self._passed = 0
        self.chat = hearing.chat if hearing is not None else 0
        self.gap_s = _GAP_S if hearing is None else _CHAT_GAP_S

    def feed(self, piece: Written) -> None:
        """Takes a piece in. For a thread: a line may be megabytes long."""
        if self._reader is not None:
            self._reader.feed(piece.out)
            self._reader.feed_stderr(piece.err)
        if self.ear is not None:
            self.ear.feed(piece.out)
        out, err = self.offsets
        self.offsets = (out + len(piece.out), err + len(piece.err))

    @property
    def kept_in(self) -> str | None:
        """The file that its client keeps, as a pattern; null while it is not known."""
        pattern = self._reader.kept_in if self._reader and self._home else None
        return pattern and f"{escape(self._home)}/{pattern}"

    def feed_kept(self, piece: bytes) -> None:
        """Takes in a piece of that file. For a thread, too."""
        assert self._reader is not None
        self._reader.feed_kept(piece)
        self.kept_offset += len(piece)

    def news(self) -> Report | None:
        """What is to be posted now; null while there is nothing that matters."""
        if self._reader is None:
            return None
        report = self._reader.report
        if report == self._posted:
            return None
        if _decides(report) == _decides(self._posted):
            self._passed += 1
            if self._passed * self.gap_s < _WORDS_EVERY_S:
                return None
        self._passed = 0
        self._posted = report
        return report

    def heard(self) -> ChatHeard | None:
        """What a handler has said that was not taken in before; null: nothing."""
        if self.ear is None:
            return None
        heard = self.ear.heard()
        if not heard.events:
            return None
        return ChatHeard(agent=self.agent, output_read=heard.upto, events=heard.events)

    def close(self, exit_code: int | None, signal: int | None) -> Report | None:
        """All of it, and how it ended; null where it has no stream."""
        report = None
        if self._reader is not None:
            report = self._reader.close(exit_code, signal)
        if self.ear is not None:
            self.ear.close(
                LastWords(
                    exit_code=None if signal is not None else exit_code,
                    report=report,
                    said=self._reader.last_message if self._reader else "",
                )
            )
        return report


class Clients:
    """The streams of all agents that run.

    Args:
        launcher: The seam to their files.
        post: Where facts go.
        folder: Where an agent's files are kept.
        log: The daemon's log.
    """

    def __init__(
        self,
        launcher: Launcher,
        post: Callable[[Fact], None],
        folder: Callable[[int], str],
        log: Logger,
    ) -> None:
        self._log = log
        self._launcher = launcher
        self._post = post
        self._folder = folder
        #: What is being said in chats.
        self.feed = Feed()
        self._streams: dict[int, ClientStream] = {}

    def open(self, agent: int, listen: Listen | None) -> None:
        """Begins with an agent's stream, if it has one, at its start."""
        if listen is None:
            return
        reader = make_reader(listen.stream, listen.earlier, listen.since)
        if reader is not None or listen.hearing is not None:
            self._streams[agent] = ClientStream(
                agent, self._folder(agent), listen.home, reader, listen.hearing
            )

    def note_given(self, effects: Iterable[Effect]) -> None:
        """Has those who are attached see that a handler was given a message."""
        for effect in effects:
            if isinstance(effect, WriteInput) and effect.agent in self._streams:
                self.feed.ring(self._streams[effect.agent].chat)

    def has(self, agent: int) -> bool:
        """Whether an agent's stream is followed."""
        return agent in self._streams

    async def follow(self, agent: int) -> None:
        """Reads what an agent writes until this is cancelled; returns if it is mute."""
        stream = self._streams.get(agent)
        while stream is not None:
            try:
                await self._launcher.wait_output(agent, stream.folder, stream.offsets)
                await self._read(stream)
            except OSError as error:
                self._raise_if_passing(stream, error)
                return
            report = stream.news()
            if report is not None:
                self._post(AgentReported(agent=agent, report=report))
            self._pass_on(stream)
            if (heard := stream.heard()) is not None:
                self._post(heard)
            await anyio.sleep(stream.gap_s)

    async def finish(
        self, agent: int, exit_code: int | None, signal: int | None
    ) -> Report | None:
        """Reads the rest; what an ended agent has said; null if it has no stream.

        What it has said in a chat is posted before: it comes before its end.
        """
        stream = self._streams.get(agent)
        if stream is None:
            return None
        try:
            await self._read(stream)
        except OSError as error:
            self._raise_if_passing(stream, error)
        del self._streams[agent]
        report = stream.close(exit_code, signal)
        if (heard := stream.heard()) is not None:
            self._post(heard)
        return report

    def _pass_on(self, stream: ClientStream) -> None:
        """Shows those who are attached what is being said."""
        for text in stream.ear.spoken() if stream.ear is not None else ():
            if text is None:
                self.feed.finish(stream.chat)
            else:
                self.feed.publish(stream.chat, text)

    def _raise_if_passing(self, stream: ClientStream, error: OSError) -> None:
        """What the machine refuses for a while is asked again by whoever asked.

        What an agent has made of its own files is no reason to end for.
        """
        if may_pass(error):
            raise error
        agent = f"agent-{stream.agent}"
        self._log.warning("stream_unreadable", agent=agent, error=str(error))

    async def _read(self, stream: ClientStream) -> None:
        while True:
            piece = await self._launcher.read_on(
                stream.agent, stream.folder, stream.offsets, _PIECE
            )
            if not (piece.out or piece.err):
                break
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(stream.feed, piece)
        if stream.kept is None and (pattern := stream.kept_in) is not None:
            stream.kept = await self._launcher.find_kept(stream.agent, pattern)
        while stream.kept is not None:
            more = await self._launcher.read_kept(
                stream.agent, stream.kept, stream.kept_offset, _PIECE
            )
            if not more:
                break
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(stream.feed_kept, more)


def _decides(report: Report) -> tuple[object, ...]:
    """What of a report is posted at once: all but the words of the moment."""
    return (
        report.session,
        report.usage,
        report.answered,
        report.denied,
        report.trouble,
        report.end,
    )
