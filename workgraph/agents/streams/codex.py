"""What the lines of `codex exec --json` say.

Its usage comes once a turn and adds up over the thread, so what earlier runs in the
same thread have used is taken off. While it runs, the file in which it keeps the thread
says after each answer what this turn has used, and has that of a turn that was killed:
it goes before. An `item.completed` of type `error` is a warning, and an `error` is one
attempt: only `turn.failed` is the end.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from workgraph.agents.streams.kinds import classify
from workgraph.agents.streams.lines import objects, piece
from workgraph.agents.streams.stderr import classify_errors
from workgraph.agents.streams.told import Told
from workgraph.agents.streams.words import argument_words, plain_command
from workgraph.graph.ends import ClientEnd, EndKind
from workgraph.graph.model import Usage
from workgraph.graph.times import moment_of

_THREAD: Final = re.compile(r"[0-9a-fA-F-]{8,64}")
_RECONNECTING: Final = re.compile(
    r"Reconnecting\.\.\. (?:\d+/\d+ \((?P<why>.*)\)|(?P<what>.*))$", re.DOTALL
)
#: Exit status of a command line that the client does not take.
_USAGE_ERROR: Final = 2


class CodexLine(Struct, frozen=True):
    """A line, as far as anything here looks at it."""

    type: Raw = Raw()
    thread_id: Raw = Raw()
    item: Raw = Raw()
    message: Raw = Raw()
    error: Raw = Raw()
    usage: Raw = Raw()


class Item(Struct, frozen=True):
    """Something that is done or said in a turn."""

    type: str = ""
    id: str | None = None
    text: str | None = None
    message: str | None = None
    status: str | None = None
    command: str | None = None
    aggregated_output: str | None = None
    exit_code: int | None = None
    changes: Raw = Raw()
    server: str | None = None
    tool: str | None = None
    arguments: Raw = Raw()
    query: str | None = None


class Change(Struct, frozen=True):
    """A file that an item changes."""

    path: str = ""
    kind: str = ""


class Failure(Struct, frozen=True):
    """What `turn.failed` says."""

    message: str = ""


class _Tokens(Struct, frozen=True):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


LINE: Final = Decoder(CodexLine)
ITEM: Final = Decoder(Item, strict=False)
CHANGES: Final = Decoder(list[Change], strict=False)
FAILURE: Final = Decoder(Failure)
TEXT: Final = Decoder(str)
_TOKENS: Final = Decoder(_Tokens, strict=False)
_USAGE_MARK: Final = b'"token_usage_record"'


class _Payload(Struct, frozen=True):
    turn_token_usage: _Tokens | None = None


class _Kept(Struct, frozen=True):
    """A line of the file in which it keeps a thread."""

    timestamp: str = ""
    payload: Raw = Raw()


_KEPT: Final = Decoder(_Kept, strict=False)
_PAYLOAD: Final = Decoder(_Payload, strict=False)


class Codex:
    """Reads them."""

    def __init__(self, earlier: Usage, since: int = 0) -> None:
        self.told = Told()
        self._earlier = earlier
        self._since = since
        self._is_kept = False
        self._last_error: str | None = None

    def take(self, line: bytes) -> bool:
        """Takes in a line; whether all of it was understood."""
        found, odd = objects(line, LINE)
        known = [self._take_object(one) for one in found]
        return all(known) and not odd

    def take_stderr(self, line: str) -> None:
        """Nothing that it prints there means anything while it runs."""

    @property
    def kept_in(self) -> str | None:
        """Its file of the thread, as a pattern below its own folder."""
        thread = self.told.session or ""
        if not _THREAD.fullmatch(thread):
            return None
        return f"sessions/*/*/*/rollout-*-{thread}.jsonl"

    def take_kept(self, line: bytes) -> None:
        """Takes in a line of the file in which it keeps the thread.

        The turns of earlier runs are in it, too, each with the time of its answers.
        """
        if _USAGE_MARK not in line:
            return  # the conversation itself, which may be long
        kept = piece(Raw(line), _KEPT)
        payload = piece(kept.payload, _PAYLOAD) if kept else None
        tokens = payload.turn_token_usage if payload else None
        if kept is None or tokens is None:
            return
        if moment_of(kept.timestamp) >= self._since:
            self._is_kept = True
            self.told.usage = _usage(tokens)

    def close(self, exit_code: int | None, errors: Sequence[str]) -> ClientEnd | None:
        """How it ended, when it has not said so itself."""
        if not exit_code:
            return None
        if self._last_error is not None:
            return classify(self._last_error)
        if self.told.session is None and errors:
            usage_error = exit_code == _USAGE_ERROR
            default = EndKind.MISCONFIGURED if usage_error else EndKind.FAILED
            return classify_errors(errors, default)
        return None

    def _take_object(self, line: CodexLine) -> bool:
        told = self.told
        kind = piece(line.type, TEXT)
        match kind:
            case "thread.started":
                told.session = piece(line.thread_id, TEXT) or told.session
            case "turn.started":
                told.go_on()
            case "item.started" | "item.updated" | "item.completed":
                item = piece(line.item, ITEM)
                if item is None:
                    return False
                self._take_item(item, completed=kind == "item.completed")
            case "turn.completed":
                self._count(piece(line.usage, _TOKENS))
                told.answer()
                told.finish()
            case "turn.failed":
                failure = piece(line.error, FAILURE)
                message = failure.message if failure else self._last_error
                told.finish(classify(message or "turn.failed"))
            case "error":
                self._take_error(piece(line.message, TEXT) or "")
            case _:
                return False
        return True

    def _take_error(self, message: str) -> None:
        again = _RECONNECTING.match(message)
        if again is None:
            self._last_error = message
            return
        words = again["why"] or again["what"] or ""
        self.told.trouble = classify(words, default=EndKind.NETWORK)

    def _take_item(self, item: Item, *, completed: bool) -> None:
        if item.type == "error":
            return
        told = self.told
        told.answer()
        if item.type == "agent_message":
            if completed:
                told.say(item.text or "")
            return
        words = item_words(item)
        if words is None:
            return
        if not completed:
            told.begin_tool(item.id or "", words)
            return
        told.return_tool(item.id or "")
        if item.status == "declined":
            told.deny(words)

    def _count(self, tokens: _Tokens | None) -> None:
        if tokens is None or self._is_kept:
            return
        before, total = self._earlier, _usage(tokens)
        without = tuple(
            (of_thread or 0) - (of_earlier or 0)
            for of_thread, of_earlier in (
                (total.input_tokens, before.input_tokens),
                (total.cached_tokens, before.cached_tokens),
                (total.output_tokens, before.output_tokens),
            )
        )
        # Less than was used before: the thread's count began anew.
        self.told.usage = total
        if min(without) >= 0:
            fresh, cached, output = without
            self.told.usage = Usage(
                input_tokens=fresh, cached_tokens=cached, output_tokens=output
            )


def _usage(tokens: _Tokens) -> Usage:
    """Its count has the cached ones among those of the input."""
    cached = tokens.cached_input_tokens
    return Usage(
        input_tokens=max(tokens.input_tokens - cached, 0),
        cached_tokens=cached,
        output_tokens=tokens.output_tokens,
    )


def codex_home(env: Mapping[str, str]) -> str:
    """Its own folder, by the environment that it runs in; empty where it has none."""
    home = env.get("HOME", "")
    return env.get("CODEX_HOME") or (home and f"{home}/.codex")


def item_words(item: Item) -> str | None:
    """A tool and what it is used on; null for what is no tool."""
    match item.type:
        case "command_execution":
            return f"shell {plain_command(item.command or '')}"
        case "file_change":
            changes = piece(item.changes, CHANGES) or ()
            return "edit " + ", ".join(change.path for change in changes[:5])
        case "mcp_tool_call":
            words = argument_words(item.arguments)
            return f"{item.server}.{item.tool} {words}"
        case "web_search":
            return f"search {item.query or ''}"
        case _:
            return None
