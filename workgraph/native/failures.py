"""What an error of the endpoint is: which kind, in which words, and whether to retry.

The kinds are the words that claude's stream uses. Pure.
"""

import os
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from openai import APIConnectionError, APIStatusError
from pydantic_ai.exceptions import (
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelTimeoutError,
    UsageLimitExceeded,
)

#: How servers say that a conversation is too long, besides what the library knows.
_TOO_LONG: Final = (
    "exceed_context_size_error",  # llama.cpp
    "available context size",
    "context window",
    "context length",
)
_REFUSED: Final = frozenset({401, 403})
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_OVERLOADED: Final = frozenset({503, 529})
_SERVER_ERROR: Final = 500
_LONGEST: Final = 500


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run can't go on."""

    #: `authentication_failed`, `rate_limit`, `server_error` …
    error: str
    #: One line.
    message: str
    #: The HTTP status, if there was one.
    status: int | None = None
    #: When the endpoint takes requests again, as it says.
    retry_after_s: float | None = None
    #: The same request may succeed a little later.
    passes: bool = False
    terminal_reason: str = "api_error"
    subtype: str = "success"


class RunFailed(Exception):  # noqa: N818 - it says what has happened
    """A run can't go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: Exception) -> Failure:
    """What it is that has ended a run or a request."""
    match error:
        case APIStatusError():
            headers = dict(error.response.headers)
            return _of_status(
                ModelHTTPError(error.status_code, "", error.body, headers=headers)
            )
        case ModelHTTPError():
            return _of_status(error)
        case ModelTimeoutError():
            # Not again by itself: it has been waited for long enough.
            message = "Unable to connect to API (no answer within the time limit)"
            return Failure(error="server_error", message=message)
        case ModelConnectionError() | APIConnectionError():
            message = f"Unable to connect to API ({_innermost(error)})"
            return Failure(error="server_error", message=message, passes=True)
        case UsageLimitExceeded():
            return Failure(
                error="max_turns",
                message="the limit of turns is reached (--max-turns)",
                terminal_reason="max_turns",
                subtype="error_max_turns",
            )
        case _:
            return Failure(
                error="unknown",
                message=_one_line(str(error) or repr(error)),
                terminal_reason="error",
                subtype="error_during_execution",
            )


def nonsense(error: Exception) -> Failure:
    """The endpoint has answered with something that is no answer."""
    words = f"API Error: empty or malformed response · {error}"
    return Failure(error="server_error", message=_one_line(words), passes=True)


def no_session(session: str) -> Failure:
    """The conversation to go on with is not there."""
    return Failure(
        error="no_session",
        message=f"No conversation found with session ID: {session}",
        terminal_reason="error",
        subtype="error_during_execution",
    )


def no_model(served: tuple[str, ...]) -> Failure:
    """No model was named, and the endpoint does not serve just one."""
    named = ", ".join(served) or "none"
    message = f"API Error: name a model; the endpoint serves: {named}"
    return Failure(error="model_not_found", message=_one_line(message))


def _of_status(error: ModelHTTPError) -> Failure:
    status = error.status_code
    kind, passes = _kind(error)
    too_long = _is_too_long(error)
    return Failure(
        error="invalid_request" if too_long else kind,
        message=_one_line(f"API Error: {status} · {_said(error)}"),
        status=status,
        retry_after_s=error.retry_after,
        passes=passes and not too_long,
        terminal_reason="prompt_too_long" if too_long else "api_error",
    )


def _kind(error: ModelHTTPError) -> tuple[str, bool]:
    """The word for an error, and whether the same request may succeed soon."""
    status = error.status_code
    if isinstance(error, ModelQuotaExceededError):
        return "billing_error", False
    if status in _REFUSED:
        return "authentication_failed", False
    if status == _NOT_FOUND:
        return "model_not_found", False
    if status == _TOO_MANY:
        return "rate_limit", True
    if status in _OVERLOADED:
        return "overloaded", True
    if status >= _SERVER_ERROR:
        return "server_error", True
    return "invalid_request", False


def _is_too_long(error: ModelHTTPError) -> bool:
    if isinstance(error, ModelContextWindowExceededError):
        return True
    if error.status_code in _REFUSED or error.status_code == _TOO_MANY:
        return False
    said = f"{error.provider_error_type} {_said(error)}".lower()
    return any(words in said for words in _TOO_LONG)


def _said(error: ModelHTTPError) -> str:
    """The endpoint's own words."""
    match error.body:
        case {"message": str(message)} | {"error": {"message": str(message)}}:
            return message
        case {"error": str(message)} | {"detail": str(message)}:
            return message
        case str(text) if text.strip():
            return text
        case _:
            return "no reason given"


def _innermost(error: BaseException) -> str:
    """What lies at the bottom of a broken connection, in the system's words."""
    causes = list(_causes(error))
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.errno:
            # Those of names that can't be resolved are negative, and say it themselves.
            known = os.strerror(cause.errno) if cause.errno > 0 else cause.strerror
            return known or str(cause)
    return _one_line(str(causes[-1]) or type(causes[-1]).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
