"""What the lines of `opencode run --format json` say.

There is no last line of its own: the end is a step that finished with `stop`, or an
error. What it tries again by itself it tells in its log, on standard error, of which
`--print-logs --log-level INFO` has a line for each request and each that failed. Empty
answers it takes for steps, and asks again without end.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from workgraph.agents.streams.kinds import after_headers, classify
from workgraph.agents.streams.lines import objects, piece
from workgraph.agents.streams.stderr import classify_errors
from workgraph.agents.streams.told import Told
from workgraph.agents.streams.words import argument_words
from workgraph.graph.ends import ClientEnd, EndKind
from workgraph.graph.model import Usage

#: What it says, at once and without a request, of a model that it does not know.
_UNKNOWN_MODEL: Final = "unexpected server error"
#: What a tool says that its user, or the rules, did not allow (from its source).
_NOT_ALLOWED: Final = ("rejected permission", "prevents you from using")
#: A request of the agent's own that failed; `small=true` is for a title.
_FAILED: Final = re.compile(
    r' message="stream error" .*small=false .*error\.error="(?:AI_\w+: )?(.*)"'
)
#: Steps in a row that were answered with nothing.
_MOST_EMPTY: Final = 5


class OpencodeLine(Struct, frozen=True):
    """A line, as far as anything here looks at it."""

    type: Raw = Raw()
    sessionID: Raw = Raw()  # noqa: N815 - the client's name for it
    part: Raw = Raw()
    error: Raw = Raw()


class Part(Struct, frozen=True):
    """What is done or said."""

    text: str | None = None
    #: The client has written it itself, in the user's place.
    synthetic: bool = False
    tool: str | None = None
    callID: str | None = None  # noqa: N815 - as above
    reason: str | None = None
    cost: float | None = None
    state: Raw = Raw()
    tokens: Raw = Raw()


class State(Struct, frozen=True):
    """How far a tool is."""

    status: str = ""
    input: Raw = Raw()
    output: str | None = None
    error: str | None = None


class Failure(Struct, frozen=True):
    """What has gone wrong."""

    name: str = ""
    data: Raw = Raw()


class FailureData(Struct, frozen=True):
    """The same in detail."""

    message: str = ""
    statusCode: int | None = None  # noqa: N815 - as above
    isRetryable: bool | None = None  # noqa: N815 - as above
    responseHeaders: Raw = Raw()  # noqa: N815 - as above
    responseBody: str | None = None  # noqa: N815 - as above


class _Cache(Struct, frozen=True):
    read: int = 0
    write: int = 0


class _Tokens(Struct, frozen=True):
    input: int = 0
    output: int = 0
    total: int | None = None
    cache: _Cache = _Cache()


LINE: Final = Decoder(OpencodeLine)
PART: Final = Decoder(Part, strict=False)
STATE: Final = Decoder(State, strict=False)
FAILURE: Final = Decoder(Failure)
FAILURE_DATA: Final = Decoder(FailureData, strict=False)
TEXT: Final = Decoder(str)
_HEADERS: Final = Decoder(dict[str, str], strict=False)
_TOKENS: Final = Decoder(_Tokens, strict=False)


class Opencode:
    """Reads them."""

    def __init__(self) -> None:
        self.told = Told()
        self._input = self._cached = self._output = 0
        self._cost: float | None = None
        #: A step has begun, so its model is known to the client.
        self._began = False
        self._empty = 0

    def take(self, line: bytes) -> bool:
        """Takes in a line; whether all of it was understood."""
        found, odd = objects(line, LINE)
        known = [self._take_object(one) for one in found]
        return all(known) and not odd

    def take_stderr(self, line: str) -> None:
        """A request that failed and, unless an error follows, is made again."""
        if (failed := _FAILED.search(line)) and self.told.end is None:
            self.told.trouble = classify(failed[1], default=EndKind.OVERLOADED)

    def close(self, exit_code: int | None, errors: Sequence[str]) -> ClientEnd | None:
        """How it ended, when it has not said so itself."""
        if not exit_code or self.told.end is not None or not errors:
            return None
        unknown = any(_UNKNOWN_MODEL in line.lower() for line in errors)
        is_default = unknown and not self._began
        return classify_errors(
            errors, EndKind.MISCONFIGURED if is_default else EndKind.FAILED
        )

    def _take_object(self, line: OpencodeLine) -> bool:
        told = self.told
        if session := piece(line.sessionID, TEXT):
            told.session = session
        kind = piece(line.type, TEXT)
        if kind == "error":
            self._error(line)
            return True
        part = piece(line.part, PART)
        if part is None:
            return False
        match kind:
            case "step_start":
                self._began = True
                told.go_on()
            case "text":
                if not part.synthetic:
                    told.answer()
                    told.say(part.text or "")
            case "reasoning":
                told.answer()
            case "tool_use":
                told.answer()
                self._tool(part)
            case "step_finish":
                self._finish_step(part)
            case _:
                return False
        return True

    def _tool(self, part: Part) -> None:
        state = piece(part.state, STATE)
        if state is None:
            return
        tool, words = part.callID or "", f"{part.tool} {argument_words(state.input)}"
        if state.status in ("pending", "running"):
            self.told.begin_tool(tool, words)
            return
        self.told.return_tool(tool)
        if state.error and any(word in state.error for word in _NOT_ALLOWED):
            self.told.deny(words)

    def _finish_step(self, part: Part) -> None:
        tokens = piece(part.tokens, _TOKENS)
        if part.reason == "unknown" and tokens == _Tokens():
            self._empty += 1
            if self._empty >= _MOST_EMPTY:
                message = "the provider answers with nothing, again and again"
                self.told.trouble = ClientEnd(kind=EndKind.OVERLOADED, message=message)
            return
        self._empty = 0
        self.told.answer()
        if tokens is not None:
            self._count(tokens)
        if part.cost is not None:
            self._cost = round((self._cost or 0.0) + part.cost, 12)
        self.told.usage = Usage(
            input_tokens=self._input,
            cached_tokens=self._cached,
            output_tokens=self._output,
            cost_usd=self._cost,
        )
        match part.reason:
            case "stop":
                self.told.finish()
            case "length" | "content-filter" | "error":
                message = f"the model stopped: {part.reason}"
                self.told.finish(ClientEnd(kind=EndKind.FAILED, message=message))
            case _:
                pass

    def _count(self, tokens: _Tokens) -> None:
        fresh = tokens.input + tokens.cache.write
        cached = tokens.cache.read
        # What a model thinks is in the total, and may be missing in `output`.
        total = tokens.total if tokens.total is not None else 0
        self._input += fresh
        self._cached += cached
        self._output += max(tokens.output, total - fresh - cached)

    def _error(self, line: OpencodeLine) -> None:
        failure = piece(line.error, FAILURE) or Failure()
        data = piece(failure.data, FAILURE_DATA) or FailureData()
        message = data.message or failure.name
        if _UNKNOWN_MODEL in message.lower() and not self._began:
            end = ClientEnd(kind=EndKind.MISCONFIGURED, message=message)
            self.told.finish(end)
            return
        end = classify(
            message,
            status=data.statusCode,
            words=f"{failure.name}\n{data.responseBody or ''}",
            default=EndKind.OVERLOADED if data.isRetryable else EndKind.FAILED,
        )
        headers = piece(data.responseHeaders, _HEADERS)
        if headers:
            after_s, at = after_headers(headers)
            end = replace(
                end,
                retry_after_s=after_s if after_s is not None else end.retry_after_s,
                retry_at=at if at is not None else end.retry_at,
            )
        self.told.finish(end)
