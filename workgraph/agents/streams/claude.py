"""What the lines of `claude --output-format stream-json` say.

Tokens are counted twice: once for each message while it runs, so that a budget can be
held, and once by the client in its last line. The lines of a message carry its input as
it is, but a placeholder of 1 as its output; the real number comes only with partial
messages, in `message_delta`.
"""

import os
from collections.abc import Sequence
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from workgraph.agents.streams.kinds import classify, one_line
from workgraph.agents.streams.lines import objects, piece
from workgraph.agents.streams.stderr import classify_errors
from workgraph.agents.streams.told import Told
from workgraph.agents.streams.words import argument_words
from workgraph.graph.ends import ClientEnd, EndKind
from workgraph.graph.model import Usage
from workgraph.graph.times import SECOND

#: What the client itself writes in the model's place when a request has failed.
SYNTHETIC: Final = "<synthetic>"
#: What it exits with before its first line; the other is the native agent's.
_NOT_STARTED: Final = frozenset({1, os.EX_UNAVAILABLE})
_OWN_LIMITS: Final = frozenset({"error_max_turns", "error_max_budget_usd"})
#: Words of the client for what has gone wrong that say enough by themselves.
_ERRORS: Final = {
    "authentication_failed": EndKind.AUTH,
    "oauth_org_not_allowed": EndKind.AUTH,
    "billing_error": EndKind.AUTH,
    "rate_limit": EndKind.LIMITED,
    "overloaded": EndKind.OVERLOADED,
    "model_not_found": EndKind.MISCONFIGURED,
}


class ClaudeLine(Struct, frozen=True):
    """A line, as far as anything here looks at it."""

    type: Raw = Raw()
    subtype: Raw = Raw()
    session_id: Raw = Raw()
    parent_tool_use_id: Raw = Raw()
    message: Raw = Raw()
    model: Raw = Raw()
    event: Raw = Raw()
    api_message_id: Raw = Raw()
    error: Raw = Raw()
    error_status: Raw = Raw()
    api_error: Raw = Raw()
    api_error_status: Raw = Raw()
    terminal_reason: Raw = Raw()
    is_error: Raw = Raw()
    result: Raw = Raw()
    errors: Raw = Raw()
    usage: Raw = Raw()
    total_cost_usd: Raw = Raw()
    modelUsage: Raw = Raw()  # noqa: N815 - the client's name for it
    model_usage_since_last_result: Raw = Raw()
    permission_denials: Raw = Raw()
    rate_limit_info: Raw = Raw()
    #: The native agent's own: for how long the endpoint wants to be left alone.
    retry_after_s: Raw = Raw()


class Message(Struct, frozen=True):
    """What a line of type `assistant` or `user` holds."""

    id: str | None = None
    model: str | None = None
    content: Raw = Raw()
    usage: Raw = Raw()


class Block(Struct, frozen=True):
    """A part of a message."""

    type: str = ""
    id: str | None = None
    text: str | None = None
    name: str | None = None
    input: Raw = Raw()
    tool_use_id: str | None = None
    content: Raw = Raw()
    is_error: bool | None = None


class Tokens(Struct, frozen=True):
    """A message's usage, or a run's."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _Event(Struct, frozen=True):
    type: str = ""
    message: Raw = Raw()
    usage: Raw = Raw()


class _OfModel(Struct, frozen=True):
    inputTokens: int = 0  # noqa: N815 - the client's names
    outputTokens: int = 0  # noqa: N815
    cacheReadInputTokens: int = 0  # noqa: N815
    cacheCreationInputTokens: int = 0  # noqa: N815
    costUSD: float = 0.0  # noqa: N815


class _Denial(Struct, frozen=True):
    tool_name: str = ""
    tool_input: Raw = Raw()


class _LimitInfo(Struct, frozen=True):
    status: str = ""
    resetsAt: int | None = None  # noqa: N815 - the client's name


LINE: Final = Decoder(ClaudeLine)
MESSAGE: Final = Decoder(Message, strict=False)
BLOCK: Final = Decoder(Block, strict=False)
TOKENS: Final = Decoder(Tokens, strict=False)
PARTS: Final = Decoder(list[Raw])
TEXT: Final = Decoder(str)
_EVENT: Final = Decoder(_Event)
_OF_MODELS: Final = Decoder(dict[str, _OfModel], strict=False)
_DENIAL: Final = Decoder(_Denial)
_LIMIT_INFO: Final = Decoder(_LimitInfo, strict=False)
_NUMBER: Final = Decoder(int, strict=False)
_COST: Final = Decoder(float, strict=False)
TRUTH: Final = Decoder(bool, strict=False)
_SECONDS: Final = Decoder(float, strict=False)
_TRUTH: Final = Decoder(bool, strict=False)
_TEXTS: Final = Decoder(list[str])


class Claude:
    """Reads them."""

    def __init__(self, earlier: Usage) -> None:
        self.told = Told()
        self._earlier = earlier
        #: Input, cached and output tokens of each message, and of all.
        self._messages: dict[str, tuple[int, int, int]] = {}
        self._input = self._cached = self._output = 0
        #: The same at the end of the last turn: each is told of by itself.
        self._before = (0, 0, 0)
        #: What the client itself says of the cost of this run, turn by turn.
        self._spent = 0.0
        self._open_message: str | None = None
        #: What the client said of the error that it ended with.
        self._error = ""
        self._resets_at: int | None = None

    def take(self, line: bytes) -> bool:
        """Takes in a line; whether all of it was understood."""
        found, odd = objects(line, LINE)
        known = [self._take_object(one) for one in found]
        return all(known) and not odd

    def take_stderr(self, line: str) -> None:
        """Nothing that it prints there means anything while it runs."""

    def close(self, exit_code: int | None, errors: Sequence[str]) -> ClientEnd | None:
        """How it ended, when it has not said so itself."""
        if exit_code in _NOT_STARTED and self.told.session is None and errors:
            return classify_errors(errors, EndKind.MISCONFIGURED)
        return None

    def _take_object(self, line: ClaudeLine) -> bool:
        if session := piece(line.session_id, TEXT):
            self.told.session = session
        match piece(line.type, TEXT):
            case "system":
                self._system(line)
            case "assistant":
                return self._assistant(line)
            case "user":
                return self._user(line)
            case "stream_event":
                self._event(line)
            case "result":
                self._result(line)
            case "rate_limit_event":
                self._limit(line)
            case "command_lifecycle" | "control_response":
                pass  # of what it was given to read
            case _:
                return False
        return True

    def _system(self, line: ClaudeLine) -> None:
        match piece(line.subtype, TEXT):
            case "init":
                # Each turn begins with one, also after a last line.
                self.told.go_on()
                self.told.model = piece(line.model, TEXT) or self.told.model
            case "api_retry" if self.told.end is None:
                error = piece(line.error, TEXT) or ""
                status = piece(line.error_status, _NUMBER)
                of_status = f" (status {status})" if status else ""
                words = piece(line.message, TEXT) or f"{error}{of_status}"
                self.told.trouble = ClientEnd(
                    kind=_ERRORS.get(error)
                    or classify(error, status=status, default=EndKind.NETWORK).kind,
                    message=one_line(f"{words}, it tries again"),
                )

    def _assistant(self, line: ClaudeLine) -> bool:
        message = piece(line.message, MESSAGE)
        if message is None:
            return False
        if message.model == SYNTHETIC:
            self._error = piece(line.error, TEXT) or ""
            return True
        told = self.told
        told.answer()
        told.go_on()
        own = not piece(line.parent_tool_use_id, TEXT)
        if message.model and own:
            told.model = message.model
        if message.id:
            self._count(message.id, piece(message.usage, TOKENS))
        understood = True
        for part in piece(message.content, PARTS) or ():
            block = piece(part, BLOCK)
            if block is None:
                understood = False
            elif block.type == "text" and own:
                told.say(block.text or "")
            elif block.type == "tool_use":
                words = argument_words(block.input)
                told.begin_tool(block.id or "", f"{block.name} {words}")
        return understood

    def _user(self, line: ClaudeLine) -> bool:
        message = piece(line.message, MESSAGE)
        if message is None:
            return False
        for part in piece(message.content, PARTS) or ():
            block = piece(part, BLOCK)
            if block is not None and block.type == "tool_result":
                self.told.return_tool(block.tool_use_id or "")
        return True

    def _event(self, line: ClaudeLine) -> None:
        event = piece(line.event, _EVENT)
        if event is None:
            return
        if event.type == "message_start" and (message := piece(event.message, MESSAGE)):
            self._open_message = message.id
        of = piece(line.api_message_id, TEXT) or self._open_message
        if event.type == "message_delta" and of:
            self._count(of, piece(event.usage, TOKENS))

    def _count(self, message: str, tokens: Tokens | None) -> None:
        """Counts a message once, however many lines there are of it."""
        if tokens is None:
            return
        before = self._messages.get(message, (0, 0, 0))
        output = tokens.output_tokens or 0
        now = (
            max(before[0], _fresh(tokens)),
            max(before[1], tokens.cache_read_input_tokens or 0),
            # 1 is the placeholder.
            max(before[2], output if output > 1 else 0),
        )
        self._messages[message] = now
        self._input += now[0] - before[0]
        self._cached += now[1] - before[1]
        self._output += now[2] - before[2]
        self.told.usage = Usage(
            input_tokens=self._input,
            cached_tokens=self._cached,
            output_tokens=self._output or None,
            cost_usd=self.told.usage.cost_usd,
        )

    def _result(self, line: ClaudeLine) -> None:
        tokens = piece(line.usage, TOKENS)
        if tokens is not None:
            # What was cut off of a turn is not in it, and was counted all the same.
            fresh, cached, output = self._before
            self._input = max(fresh + _fresh(tokens), self._input)
            self._cached = max(
                cached + (tokens.cache_read_input_tokens or 0), self._cached
            )
            self._output = max(output + (tokens.output_tokens or 0), self._output)
            self._before = (self._input, self._cached, self._output)
            self.told.usage = Usage(
                input_tokens=self._input,
                cached_tokens=self._cached,
                output_tokens=self._output,
                cost_usd=self._cost(line, tokens),
            )
        for raw in piece(line.permission_denials, PARTS) or ():
            if denial := piece(raw, _DENIAL):
                words = argument_words(denial.tool_input)
                self.told.deny(f"{denial.tool_name} {words}")
        text = piece(line.result, TEXT) or ""
        is_error = piece(line.is_error, TRUTH)
        subtype = piece(line.subtype, TEXT) or ""
        if subtype in _OWN_LIMITS:
            message = one_line(text or subtype)
            self.told.finish(ClientEnd(kind=EndKind.OWN_LIMIT, message=message))
        elif is_error or subtype.startswith("error"):
            self.told.finish(self._failure(line, text or subtype))
        else:
            if self.told.said is None:
                self.told.say(text)
            self.told.finish()

    def _failure(self, line: ClaudeLine, text: str) -> ClientEnd:
        errors = piece(line.errors, _TEXTS)
        message = errors[0] if errors else text
        words = (
            piece(line.terminal_reason, TEXT) or "",
            piece(line.api_error, TEXT) or "",
            self._error,
        )
        end = classify(
            message,
            status=piece(line.api_error_status, _NUMBER),
            words="\n".join(words),
        )
        kind = _ERRORS.get(self._error, end.kind)
        if end.kind in (EndKind.TOO_LONG, EndKind.NO_SESSION):
            kind = end.kind
        limited = kind is EndKind.LIMITED
        return ClientEnd(
            kind=kind,
            message=end.message,
            retry_at=(end.retry_at or self._resets_at) if limited else None,
            retry_after_s=piece(line.retry_after_s, _SECONDS) or end.retry_after_s,
        )

    def _cost(self, line: ClaudeLine, tokens: Tokens) -> float | None:
        """The cost of this run: newer versions add up over a resumed session.

        The newest say what is new since the last line of this kind.
        """
        cost = piece(line.total_cost_usd, _COST)
        new = piece(line.model_usage_since_last_result, _OF_MODELS)
        if new is not None and cost is not None:
            self._spent += sum(model.costUSD for model in new.values())
            return round(self._spent, 12)
        before = self._earlier.cost_usd
        if cost is None or not before or cost < before:
            return cost
        models = piece(line.modelUsage, _OF_MODELS)
        if models is not None and _of_models(models) <= _all(tokens):
            # As much as this run: nothing of an earlier one is in it.
            return cost
        return round(cost - before, 12)

    def _limit(self, line: ClaudeLine) -> None:
        """A subscription's limit (from the client's types; the mock has none)."""
        info = piece(line.rate_limit_info, _LIMIT_INFO)
        if info is not None and info.status == "rejected" and info.resetsAt:
            self._resets_at = info.resetsAt * SECOND


def _fresh(tokens: Tokens) -> int:
    """Input that did not come from the cache; writing to it is none the less input."""
    return (tokens.input_tokens or 0) + (tokens.cache_creation_input_tokens or 0)


def _all(tokens: Tokens) -> int:
    cached = tokens.cache_read_input_tokens or 0
    return _fresh(tokens) + cached + (tokens.output_tokens or 0)


def _of_models(models: dict[str, _OfModel]) -> int:
    return sum(
        model.inputTokens
        + model.outputTokens
        + model.cacheReadInputTokens
        + model.cacheCreationInputTokens
        for model in models.values()
    )
