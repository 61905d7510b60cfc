"""What the lines of `gemini --output-format stream-json`, and its exit status, say.

Its errors are words, and its exit status is the provider's HTTP status modulo 256,
which says more; what it tries again by itself it tells on standard error alone.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from workgraph.agents.streams.kinds import classify, kind_of_status, retry_after
from workgraph.agents.streams.lines import objects, piece
from workgraph.agents.streams.stderr import classify_errors
from workgraph.agents.streams.told import Told
from workgraph.agents.streams.words import argument_words
from workgraph.graph.ends import ClientEnd, EndKind
from workgraph.graph.model import Usage

_ATTEMPT_FAILED: Final = re.compile(r"Attempt \d+ failed(?: with status (\d+))?[:. ]*")
#: The exit status of a request that was refused: 401 becomes 145, 529 becomes 17.
_STATUS_OF_EXIT: Final = {
    status % 256: status
    for status in (400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 529)
}
#: Its own ones: no key, input or session that it can't take, settings, a limit of
#: turns (53 is from its source, not seen), a folder that it does not trust.
_KIND_OF_EXIT: Final = {
    41: EndKind.AUTH,
    42: EndKind.MISCONFIGURED,
    52: EndKind.MISCONFIGURED,
    53: EndKind.OWN_LIMIT,
    55: EndKind.MISCONFIGURED,
}
#: A model that it chooses for itself.
_ANY_MODEL: Final = "auto"


class GeminiLine(Struct, frozen=True):
    """A line, as far as anything here looks at it."""

    type: Raw = Raw()
    session_id: Raw = Raw()
    model: Raw = Raw()
    role: Raw = Raw()
    content: Raw = Raw()
    delta: Raw = Raw()
    tool_name: Raw = Raw()
    tool_id: Raw = Raw()
    parameters: Raw = Raw()
    status: Raw = Raw()
    output: Raw = Raw()
    error: Raw = Raw()
    message: Raw = Raw()
    stats: Raw = Raw()


class Failure(Struct, frozen=True):
    """What a result or a tool says has gone wrong."""

    type: str = ""
    message: str = ""


class _Stats(Struct, frozen=True):
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached: int = 0
    models: Raw = Raw()


LINE: Final = Decoder(GeminiLine)
FAILURE: Final = Decoder(Failure)
TEXT: Final = Decoder(str)
TRUTH: Final = Decoder(bool)
_STATS: Final = Decoder(_Stats, strict=False)
_MODELS: Final = Decoder(dict[str, Raw])


class Gemini:
    """Reads them."""

    def __init__(self) -> None:
        self.told = Told()
        #: The last message is still being said, piece by piece.
        self._saying = False
        self._last_error: str | None = None

    def take(self, line: bytes) -> bool:
        """Takes in a line; whether all of it was understood."""
        found, odd = objects(line, LINE)
        known = [self._take_object(one) for one in found]
        return all(known) and not odd

    def take_stderr(self, line: str) -> None:
        """What it tries again, and after how long the provider wants it to."""
        told = self.told
        if told.end is not None:
            return
        failed = _ATTEMPT_FAILED.match(line)
        if failed is not None:
            status = int(failed[1]) if failed[1] else None
            told.trouble = classify(
                line[failed.end() :], status=status, default=EndKind.OVERLOADED
            )
        elif told.trouble is not None:
            wait_s = retry_after(line.lower())
            if wait_s is not None:
                told.trouble = replace(told.trouble, retry_after_s=wait_s)

    def close(self, exit_code: int | None, errors: Sequence[str]) -> ClientEnd | None:
        """How it ended, by its exit status, where that says more than its words."""
        told = self.told
        if not exit_code or (told.end and told.end.kind is EndKind.FINISHED):
            return None
        status = _STATUS_OF_EXIT.get(exit_code)
        own = _KIND_OF_EXIT.get(exit_code)
        if status is not None:
            kind = kind_of_status(status)
            if told.end is None:
                last = told.trouble.message if told.trouble else f"status {status}"
                return classify(last, status=status, words="\n".join(errors))
            return replace(told.end, kind=kind) if kind else None
        if own is None or told.end is not None:
            return None
        if not errors:
            return ClientEnd(kind=own, message=f"exit status {exit_code}")
        found = classify_errors(errors, own)
        if found.kind is EndKind.NO_SESSION:
            return found
        return replace(found, kind=own)

    def _take_object(self, line: GeminiLine) -> bool:
        told = self.told
        kind = piece(line.type, TEXT)
        if kind != "message":
            self._saying = False
        match kind:
            case "init":
                told.session = piece(line.session_id, TEXT) or told.session
                model = piece(line.model, TEXT)
                told.model = None if model == _ANY_MODEL else model
            case "message":
                self._message(line)
            case "tool_use":
                told.answer()
                words = argument_words(line.parameters)
                name = piece(line.tool_name, TEXT) or ""
                told.begin_tool(piece(line.tool_id, TEXT) or "", f"{name} {words}")
            case "tool_result":
                told.return_tool(piece(line.tool_id, TEXT) or "")
            case "error":
                self._last_error = piece(line.message, TEXT)
            case "result":
                self._result(line)
            case _:
                return False
        return True

    def _message(self, line: GeminiLine) -> None:
        told = self.told
        text = piece(line.content, TEXT)
        if piece(line.role, TEXT) != "assistant" or text is None:
            self._saying = False
            return
        told.answer()
        told.go_on()
        if self._saying:
            told.say_more(text)
        elif text.strip():
            told.say(text)
            self._saying = piece(line.delta, TRUTH) is True

    def _result(self, line: GeminiLine) -> None:
        told = self.told
        stats = piece(line.stats, _STATS)
        if stats is not None:
            self._count(stats)
        if piece(line.status, TEXT) == "success":
            told.finish()
            return
        failure = piece(line.error, FAILURE)
        message = failure.message if failure else self._last_error
        told.finish(classify(message or "status error"))

    def _count(self, stats: _Stats) -> None:
        # What a model thinks is in the total, and in neither of the two others.
        output = max(stats.output_tokens, stats.total_tokens - stats.input_tokens)
        self.told.usage = Usage(
            input_tokens=max(stats.input_tokens - stats.cached, 0),
            cached_tokens=stats.cached,
            output_tokens=output,
        )
        models = piece(stats.models, _MODELS)
        if models and self.told.answered:
            # Those before it chose it, or did small things for it.
            self.told.model = list(models)[-1]
