"""An agent's stream as text for people: what it says, does, gets back, and has used.

It is made as the stream comes. Everything that the stream brings is cleaned before it
is cut, so that nothing that has to be hidden is left in halves.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

from msgspec.json import Decoder

from workgraph.agents.streams import claude, codex, gemini, opencode
from workgraph.agents.streams.kinds import one_line
from workgraph.agents.streams.lines import Lines, objects, piece
from workgraph.agents.streams.reader import Reader, make_reader
from workgraph.agents.streams.words import argument_words, plain_command
from workgraph.graph.ends import Report
from workgraph.graph.model import Usage
from workgraph.settings import Stream

#: What is shown of what a tool was given, and has given back.
_MOST_LINES: Final = 12
_LINE_CHARS: Final = 400
#: Tools that take a command line.
_SHELLS: Final = frozenset({"bash", "shell", "run_shell_command"})

_Line = TypeVar("_Line")


class Readable:
    """Turns one stream into text."""

    def __init__(
        self, stream: Stream, earlier: Usage, clean: Callable[[str], str] = str
    ) -> None:
        """Begins a text.

        Args:
            stream: A structured one.
            earlier: What earlier runs in the same session have used.
            clean: What is done to each text of the stream before it is cut to size.
        """
        reader = make_reader(stream, earlier)
        assert reader is not None, "plain text is readable as it is"
        self._reader: Reader = reader
        self._lines = Lines()
        self._page = _Page(clean)
        self._render = _RENDERERS[stream]

    def feed(self, data: bytes) -> str:
        """What the stream says from here on; an unfinished line is held back."""
        dropped = self._lines.dropped
        for line in self._lines.feed(data):
            self._show(line)
        if self._lines.dropped > dropped:
            self._page.fail("a line that is too long to be read is left out")
        return self._page.take()

    def rest(self, *, ended: bool) -> str:
        """What was held back, when nothing more will come; nothing before that."""
        if not ended:
            return ""
        for line in self._lines.rest():
            self._show(line)
        self._page.end_message()
        if not self._reader.has_ended:
            self._page.sum_up("cut off", self._reader.report)
        return self._page.take()

    def _show(self, line: bytes) -> None:
        before = self._reader.report.end
        self._reader.feed(line + b"\n")
        self._render(line, self._page)
        report = self._reader.report
        if report.end is not None and report.end is not before:
            self._page.end_message()
            self._page.sum_up(report.end.kind, report)


class _Page:
    """The text so far."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._text: list[str] = []
        self._message: list[str] = []
        self._failure = ""

    def take(self) -> str:
        """The text since it was last taken."""
        text = "".join(self._text)
        self._text.clear()
        return text

    def say(self, text: str) -> None:
        """A message."""
        self.end_message()
        if text.strip():
            self._text.append(f"{self._clean(text).strip()}\n")

    def say_piece(self, text: str) -> None:
        """A part of a message; it is shown when the message is whole."""
        self._message.append(text)

    def end_message(self) -> None:
        """The pieces that there are make a message."""
        if self._message:
            text, self._message = "".join(self._message), []
            self.say(text)

    def use(self, name: str, words: str) -> None:
        """A tool and what it is used on."""
        self.end_message()
        if name.lower() in _SHELLS:
            first, *others = self._cut(words) or [""]
            self._text.append(f"$ {first}\n")
            self._text += [f"  {line}\n" for line in others]
        else:
            shown = one_line(self._clean(f"{name} {words}"), _LINE_CHARS)
            self._text.append(f"> {shown}\n")

    def give_back(self, text: str, *, failed: bool = False) -> None:
        """What a tool has given back."""
        mark = "!" if failed else " "
        self._text += [f" {mark} {line}\n" for line in self._cut(text)]

    def fail(self, text: str) -> None:
        """Something that has gone wrong; the same words twice are said once."""
        self.end_message()
        shown = one_line(self._clean(text), _LINE_CHARS)
        if shown and shown != self._failure:
            self._text.append(f"! {shown}\n")
        self._failure = shown

    def sum_up(self, how: str, report: Report) -> None:
        """The last line: how it ended, and what it has used."""
        used = report.usage
        tokens = ", ".join(
            f"{count} {what}"
            for count, what in (
                (used.input_tokens, "in"),
                (used.cached_tokens, "cached"),
                (used.output_tokens, "out"),
            )
            if count is not None
        )
        cost = "" if used.cost_usd is None else f"; {used.cost_usd:.4f} USD"
        self._text.append(f"-- {how}{tokens and f'; tokens: {tokens}'}{cost}\n")

    def pass_on(self, line: bytes) -> None:
        """A line that is no JSON, as it is."""
        self.end_message()
        self._text.append(f"{self._clean(line.decode('utf-8', 'replace'))}\n")

    def _cut(self, text: str) -> list[str]:
        lines = self._clean(text).rstrip().splitlines()
        more = len(lines) - _MOST_LINES
        shown = [
            line if len(line) <= _LINE_CHARS else f"{line[: _LINE_CHARS - 1]}…"
            for line in lines[:_MOST_LINES]
        ]
        return [*shown, f"… {more} more lines"] if more > 0 else shown


def _show_claude(line: claude.ClaudeLine, page: _Page) -> None:
    match piece(line.type, claude.TEXT):
        case "system" if piece(line.subtype, claude.TEXT) == "api_retry":
            error = piece(line.error, claude.TEXT) or "unknown"
            page.fail(f"{error}, it tries again")
        case "assistant" | "user":
            message = piece(line.message, claude.MESSAGE)
            # What is wrong is said again in the last line.
            if message is not None and message.model != claude.SYNTHETIC:
                _show_blocks(message, page)
        case "result" if piece(line.is_error, claude.TRUTH):
            page.fail(piece(line.result, claude.TEXT) or "")
        case _:
            pass


def _show_blocks(message: claude.Message, page: _Page) -> None:
    for part in piece(message.content, claude.PARTS) or ():
        block = piece(part, claude.BLOCK)
        match block.type if block else None:
            case "text" if block is not None and message.model is not None:
                page.say(block.text or "")
            case "tool_use" if block is not None:
                page.use(block.name or "", argument_words(block.input))
            case "tool_result" if block is not None:
                page.give_back(_result_text(block), failed=bool(block.is_error))
            case _:
                pass


def _result_text(block: claude.Block) -> str:
    text = piece(block.content, claude.TEXT)
    if text is not None:
        return text
    parts = piece(block.content, claude.PARTS) or ()
    blocks = (piece(part, claude.BLOCK) for part in parts)
    return "\n".join(one.text for one in blocks if one is not None and one.text)


def _show_codex(line: codex.CodexLine, page: _Page) -> None:
    kind = piece(line.type, codex.TEXT)
    match kind:
        case "item.started" | "item.completed":
            item = piece(line.item, codex.ITEM)
            if item is not None:
                _show_item(item, page, completed=kind == "item.completed")
        case "error":
            page.fail(piece(line.message, codex.TEXT) or "")
        case "turn.failed":
            failure = piece(line.error, codex.FAILURE)
            page.fail(failure.message if failure else "")
        case _:
            pass


def _show_item(item: codex.Item, page: _Page, *, completed: bool) -> None:
    match item.type:
        case "agent_message" if completed:
            page.say(item.text or "")
        case "error" if completed:
            page.fail(item.message or "")
        case "command_execution" if not completed:
            page.use("shell", plain_command(item.command or ""))
        case "command_execution":
            page.give_back(item.aggregated_output or "")
            if item.exit_code:
                page.give_back(f"exit {item.exit_code}", failed=True)
        case "agent_message" | "error":
            pass
        case _:
            words = codex.item_words(item)
            if words is not None and completed:
                page.use(*words.split(" ", 1))


def _show_gemini(line: gemini.GeminiLine, page: _Page) -> None:
    match piece(line.type, gemini.TEXT):
        case "message" if piece(line.role, gemini.TEXT) == "assistant":
            page.say_piece(piece(line.content, gemini.TEXT) or "")
        case "tool_use":
            name = piece(line.tool_name, gemini.TEXT) or ""
            page.use(name, argument_words(line.parameters))
        case "tool_result":
            failed = piece(line.status, gemini.TEXT) == "error"
            failure = piece(line.error, gemini.FAILURE)
            output = piece(line.output, gemini.TEXT) or ""
            shown = output or (failure.message if failure else "")
            page.give_back(shown, failed=failed)
        case "result" | "error":
            failure = piece(line.error, gemini.FAILURE)
            page.fail(failure.message if failure else "")
        case _:
            pass


def _show_opencode(line: opencode.OpencodeLine, page: _Page) -> None:
    part = piece(line.part, opencode.PART)
    match piece(line.type, opencode.TEXT):
        case "text" if part is not None and not part.synthetic:
            page.say(part.text or "")
        case "tool_use" if part is not None:
            state = piece(part.state, opencode.STATE) or opencode.State()
            page.use(part.tool or "", argument_words(state.input))
            page.give_back(state.output or "")
            page.give_back(state.error or "", failed=True)
        case "error":
            failure = piece(line.error, opencode.FAILURE) or opencode.Failure()
            data = piece(failure.data, opencode.FAILURE_DATA)
            page.fail((data.message if data else "") or failure.name)
        case _:
            pass


def _render(
    decoder: Decoder[_Line],
    show: Callable[[_Line, _Page], None],
    line: bytes,
    page: _Page,
) -> None:
    found, odd = objects(line, decoder)
    for one in found:
        show(one, page)
    if odd and not found:
        page.pass_on(line)


_RENDERERS: Final[Mapping[str, Callable[[bytes, _Page], None]]] = MappingProxyType(
    {
        "claude": partial(_render, claude.LINE, _show_claude),
        "codex": partial(_render, codex.LINE, _show_codex),
        "gemini": partial(_render, gemini.LINE, _show_gemini),
        "opencode": partial(_render, opencode.LINE, _show_opencode),
    }
)
