"""An agent's stream as it comes, and what it has said so far.

Everything here is pure: bytes in, a `Report` out, no files and no clock. Standard
output and standard error may be cut anywhere; the same bytes give the same report.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, assert_never

from workgraph.agents.streams.claude import Claude
from workgraph.agents.streams.codex import Codex, codex_home
from workgraph.agents.streams.gemini import Gemini
from workgraph.agents.streams.lines import Lines
from workgraph.agents.streams.opencode import Opencode
from workgraph.agents.streams.stderr import ErrorLines, classify_errors
from workgraph.agents.streams.told import Told
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.model import Usage
from workgraph.settings import Stream

#: A longer line of standard error is left out.
_LONGEST_ERROR: Final = 1024 * 1024
#: From here on an exit status is a signal's, if the client gives it no other meaning.
_SIGNALS: Final = 128


class Client(Protocol):
    """What the stream of one client means."""

    told: Told

    def take(self, line: bytes) -> bool:
        """Takes in a line of standard output; whether all of it was understood."""

    def take_stderr(self, line: str) -> None:
        """Takes in a line of standard error."""

    def close(self, exit_code: int | None, errors: Sequence[str]) -> ClientEnd | None:
        """How it ended, when its stream has not said so: from all that is left.

        Args:
            exit_code: Null when a signal has ended it.
            errors: Lines of its standard error.
        """


class Keeper(Protocol):
    """A client that keeps a file of the conversation, and tells more in it."""

    @property
    def kept_in(self) -> str | None:
        """Which file, as a pattern below its own folder; null: not known yet."""

    def take_kept(self, line: bytes) -> None:
        """Takes in a line of it."""


class Reader:
    """Reads the stream of one run."""

    def __init__(self, client: Client, keeper: Keeper | None = None) -> None:
        self._client = client
        self._keeper = keeper
        self._kept_lines = Lines()
        self._lines = Lines()
        self._error_lines = Lines(_LONGEST_ERROR)
        self._errors = ErrorLines()
        self._understood = False
        self._odd = 0

    @property
    def odd(self) -> int:
        """How many lines held anything that could not be read, or is not known."""
        return self._odd + self._lines.dropped

    @property
    def has_ended(self) -> bool:
        """Whether the last thing it said was that it has ended.

        It may still go on: with another turn, or with a tool that it left behind.
        """
        return self._client.told.end is not None

    @property
    def report(self) -> Report:
        """All that it has said so far."""
        return self._client.told.report()

    @property
    def last_message(self) -> str:
        """What it has said last, by its end; empty: nothing."""
        return self._client.told.ending

    def feed(self, data: bytes) -> None:
        """Takes in what standard output goes on with."""
        for line in self._lines.feed(data):
            self._take(line)

    def feed_stderr(self, data: bytes) -> None:
        """Takes in what standard error goes on with."""
        for line in self._error_lines.feed(data):
            self._take_error(line)

    @property
    def kept_in(self) -> str | None:
        """A file in which its client tells more, as a pattern below its own folder."""
        return None if self._keeper is None else self._keeper.kept_in

    def feed_kept(self, data: bytes) -> None:
        """Takes in what that file goes on with."""
        assert self._keeper is not None
        for line in self._kept_lines.feed(data):
            self._keeper.take_kept(line)

    def close(self, exit_code: int | None, signal: int | None) -> Report:
        """Nothing comes any more: all of it, and how it ended.

        Args:
            exit_code: Null when a signal has ended it.
            signal: The one that has; null when none did.

        Returns:
            Its `end` is null when the client has said nothing of it in any way, so
            that only the exit is known.
        """
        for line in self._lines.rest():
            self._take(line)
        for line in self._error_lines.rest():
            self._take_error(line)
        told = self._client.told
        if signal is not None:
            exit_code = None
        last = self._client.close(exit_code, self._errors.lines)
        if last is None and told.end is None:
            last = self._last_resort(exit_code)
        if last is not None:
            vague = {EndKind.FAILED, EndKind.CUT}
            if last.kind in vague and told.trouble is not None:
                last = told.trouble  # what it tried to get over when it was ended
            told.finish(last)
        return self.report

    def _take(self, line: bytes) -> None:
        before = self._odd
        if not self._client.take(line):
            self._odd += 1
        self._understood = self._understood or self._odd == before

    def _take_error(self, line: bytes) -> None:
        if text := self._errors.add(line):
            self._client.take_stderr(text)

    def _last_resort(self, exit_code: int | None) -> ClientEnd | None:
        """An exit in the middle of a stream, or before it with a word on stderr."""
        if exit_code == 0 and self._understood:
            if self._client.told.denied:
                # opencode stops at once when it is refused something.
                self._client.told.finish()
                return self._client.told.end
            message = "it has ended without its last word"
            return ClientEnd(kind=EndKind.CUT, message=message)
        if exit_code is not None and exit_code > _SIGNALS and self._understood:
            message = f"it was ended by signal {exit_code - _SIGNALS}"
            return ClientEnd(kind=EndKind.CUT, message=message)
        errors = self._errors.lines
        if exit_code is not None and 0 < exit_code < _SIGNALS and errors:
            return classify_errors(errors)
        return None


def client_home(stream: Stream, env: Mapping[str, str]) -> str:
    """Where a client keeps what it tells more in; empty where it does not."""
    return codex_home(env) if stream == "codex" else ""


def make_reader(stream: Stream, earlier: Usage, since: int = 0) -> Reader | None:
    """A reader for a run of a client; null where the stream is plain text.

    Args:
        stream: What the client prints.
        earlier: What earlier runs in the same session have used: some clients count
            it again.
        since: When this run was started, in microseconds since the epoch.
    """
    match stream:
        case "claude":
            return Reader(Claude(earlier))
        case "codex":
            codex = Codex(earlier, since)
            return Reader(codex, codex)
        case "gemini":
            return Reader(Gemini())
        case "opencode":
            return Reader(Opencode())
        case "text":
            return None
        case _:
            assert_never(stream)
