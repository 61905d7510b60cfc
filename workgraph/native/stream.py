"""What the agent prints: lines of the dialect that claude's stream-json speaks.

So whatever reads that client's stream reads this one. Two fields of `result` are our
own: `error`, the kind of a failure, and `retry_after_s`, when the endpoint named one.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import msgspec
from pydantic_ai.messages import (
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.usage import UsageBase

from workgraph.native.failures import Failure

#: What the dialect calls the ways in which an answer ends.
_STOPS: Final = MappingProxyType(
    {"stop": "end_turn", "tool_call": "tool_use", "length": "max_tokens"}
)
#: Who speaks in the model's place when a request has failed.
_SYNTHETIC: Final = "<synthetic>"
_MASK: Final = "***"
#: Shorter keys are no secrets (`none`, `dummy`), and would hide ordinary words.
_SHORTEST_KEY: Final = 8


class Stream:
    """Writes one JSON object a line, each whole and at once.

    Args:
        write: Takes one line, its end included.
        session: What each line carries.
        key: Never written, wherever it may turn up.
    """

    def __init__(
        self, write: Callable[[bytes], None], session: str, key: str = ""
    ) -> None:
        self._write = write
        self._session = session
        self._key = key if len(key) >= _SHORTEST_KEY else ""

    def init(self, *, model: str, cwd: str, tools: Sequence[str], posture: str) -> None:
        """The first line."""
        fields = {"cwd": cwd, "tools": tools, "model": model, "permissionMode": posture}
        self._line("system", {"subtype": "init", **fields})

    def answer(self, response: ModelResponse) -> None:
        """What the model has said, the tools it calls, and what that cost."""
        reason = response.finish_reason or ""
        message = _message(
            response.model_name,
            [block for part in response.parts if (block := _block(part))],
            _STOPS.get(reason, reason),
            response.usage,
        )
        self._line("assistant", {"message": message, "parent_tool_use_id": None})

    def tool_result(self, call: str, content: str, *, is_error: bool) -> None:
        """What a tool gave back."""
        block = {
            "type": "tool_result",
            "tool_use_id": call,
            "content": content,
            "is_error": is_error,
        }
        message = {"role": "user", "content": [block]}
        self._line("user", {"message": message, "parent_tool_use_id": None})

    def retry(
        self, failure: Failure, *, attempt: int, attempts: int, delay_s: float
    ) -> None:
        """That a request has failed, and when it is made again."""
        fields = {
            "subtype": "api_retry",
            "attempt": attempt,
            "max_retries": attempts,
            "retry_delay_ms": round(delay_s * 1000),
            "error_status": failure.status,
            "error": failure.error,
            "message": failure.message,
        }
        self._line("system", fields)

    def finished(self, said: str, usage: UsageBase, turns: int) -> None:
        """The last line of a run that has come to its end."""
        fields = {
            "subtype": "success",
            "is_error": False,
            "terminal_reason": "completed",
            "result": said,
            "api_error_status": None,
        }
        self._result(fields, usage, turns)

    def failed(self, failure: Failure, usage: UsageBase, turns: int) -> None:
        """The last lines of a run that could not go on."""
        words = [{"type": "text", "text": failure.message}]
        message = _message(_SYNTHETIC, words, "stop_sequence", UsageBase())
        told = {"message": message, "parent_tool_use_id": None, "error": failure.error}
        self._line("assistant", told)
        fields = {
            "subtype": failure.subtype,
            "is_error": True,
            "terminal_reason": failure.terminal_reason,
            "result": failure.message,
            "errors": [failure.message],
            "error": failure.error,
            "api_error_status": failure.status,
            "retry_after_s": failure.retry_after_s,
        }
        self._result(fields, usage, turns)

    def _result(
        self, fields: Mapping[str, object], usage: UsageBase, turns: int
    ) -> None:
        spent = {"num_turns": turns, "usage": usage_fields(usage)}
        self._line("result", {**fields, **spent, "permission_denials": []})

    def _line(self, kind: str, fields: Mapping[str, object]) -> None:
        line = msgspec.json.encode(
            {"type": kind, **fields, "session_id": self._session}
        )
        if self._key:
            shown = msgspec.json.encode(self._key)[1:-1]
            line = line.replace(shown, _MASK.encode())
        self._write(line + b"\n")


def usage_fields(usage: UsageBase) -> Mapping[str, int]:
    """Tokens as the dialect counts them: input without what came from the cache."""
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cache_read_tokens),
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }


def _message(
    model: str | None,
    content: Sequence[Mapping[str, object]],
    stop_reason: str,
    usage: UsageBase,
) -> Mapping[str, object]:
    return {
        # Not the endpoint's own: some give every answer the same one.
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "usage": usage_fields(usage),
    }


def _block(part: object) -> Mapping[str, Any] | None:
    match part:
        case TextPart(content=text) if text:
            return {"type": "text", "text": text}
        case ThinkingPart(content=text) if text:
            return {"type": "thinking", "thinking": text}
        case ToolCallPart():
            return {
                "type": "tool_use",
                "id": part.tool_call_id,
                "name": part.tool_name,
                "input": _arguments(part),
            }
        case _:
            return None


def _arguments(call: ToolCallPart) -> Mapping[str, Any]:
    """What a tool was called with; models may send what is no JSON object."""
    if isinstance(call.args, dict):
        return call.args
    try:
        return msgspec.json.decode(call.args or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {"text": call.args}
