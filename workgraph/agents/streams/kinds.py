"""Which kind of end an error is: from its status first, then from its words.

Providers and clients say the same things in different words. Rules are looked through
in order, and the first that fits counts, so the exact ones come before the vague ones.
All of it was seen in recorded streams, but for what is marked as taken from elsewhere.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from workgraph.agents.streams.lines import objects, piece
from workgraph.graph.ends import ClientEnd, EndKind
from workgraph.graph.times import SECOND

Rules = tuple[tuple[EndKind, tuple[str, ...]], ...]

#: What is kept of an error's message, and what is looked at of it, in characters.
_MESSAGE_CHARS: Final = 300
_LOOKED_AT: Final = 8192

#: They say more than the status they come with: nothing paid is 429 at some providers,
#: and a conversation that is too long is 400 everywhere.
_BEFORE_STATUS: Final[Rules] = (
    (
        EndKind.NO_SESSION,
        (
            "no conversation found with session id",
            "no rollout found for thread id",
            "session not found",
            "error resuming session",
            "invalid session identifier",
        ),
    ),
    (
        EndKind.TOO_LONG,
        (
            "prompt is too long",
            "prompt_too_long",
            "ran out of room in the model's context",
            "context_length_exceeded",
            "maximum context length",
            "exceeds the context window",
            "exceeds the maximum number of tokens",
            "context limit",
            "contextoverflow",
        ),
    ),
    (
        EndKind.AUTH,
        (
            "insufficient_quota",
            "quota exceeded. check your plan",
            "credit balance is too low",
            "billing_error",
        ),
    ),
)
_AFTER_STATUS: Final[Rules] = (
    (
        EndKind.LIMITED,
        (
            "rate limit",
            "rate_limit",
            "ratelimit",
            "too many requests",
            "usage limit",
            "limit reached",
            "hit your limit",
            "model is at capacity",
            "resource_exhausted",
            "suggested retry after",
            "current quota",
            "quota increase",
            "quota exceeded for",
            "quota limit",
        ),
    ),
    (
        EndKind.AUTH,
        (
            "not logged in",
            "please run /login",
            "missing environment variable",
            "failed to authenticate",
            "authentication_failed",
            "authentication_error",
            "unauthorized",
            "unauthenticated",
            "permission_denied",
            "invalid api key",
            "invalid_api_key",
            "incorrect api key",
            "api key not valid",
            "set an auth method",
            "providerautherror",
        ),
    ),
    (
        EndKind.MISCONFIGURED,
        (
            "cannot be used with root/sudo",
            "unknown option",
            "unexpected argument",
            "unknown argument",
            "invalid value '",
            "error loading config",
            "model_not_found",
            "modelnotfound",
            "model not found",
            "does not exist or you do not have access",
            "not_found_error",
            "issue with the selected model",
            "trusted folder",
            "trusted director",
            "input must be provided",
        ),
    ),
    (
        EndKind.NETWORK,
        (
            "econn",
            "etimedout",
            "enotfound",
            "eai_again",
            "connection_failed",
            "connectionrefused",
            "connection to the api was lost",
            "unable to connect",
            "cannot connect",
            "error sending request",
            "waiting for network",
            "fetch failed",
            "transport error",
            "network error",
            "connection error",
            "socket",
            "timed out",
            "api error: terminated",
        ),
    ),
    (
        EndKind.OVERLOADED,
        (
            "overloaded",
            "high demand",
            "unavailable",
            "internal server error",
            "server_error",
            "stream disconnected",
            "stream closed",
            "model stream ended",
            "empty or malformed",
            "incomplete json",
            "json parsing failed",
        ),
    ),
)

_STATUS: Final = re.compile(
    r"(?:\bstatus:? |\bapi error: |\brejected \(|\bhttp |\"code\": ?)([45]\d\d)\b"
)
_RETRY: Final = re.compile(r"\b(?:again in|retry after|retry-after:?|reset in) ")
_SPAN: Final = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?) ?"
    r"(ms|s|m|h|d|milliseconds?|secs?|seconds?|mins?|minutes?|hours?|days?)?(?![a-z])"
    r"(?:,? and|,)? ?"
)
#: By the first letters of a unit; the longer ones first.
_UNITS: Final = (("mil", 0.001), ("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))
_DAY_S: Final = 86400.0
#: A subscription's limit, with the moment as seconds of the epoch (from claude's
#: releases; the mock has none).
_RESETS_AT: Final = re.compile(r"limit reached\|(\d{10})(?:\d{3})?\b")


class _Wrapped(Struct, frozen=True):
    error: Raw = Raw()


class _Inner(Struct, frozen=True):
    message: Raw = Raw()


_WRAPPED: Final = Decoder(_Wrapped)
_INNER: Final = Decoder(_Inner)
_TEXT: Final = Decoder(str)


def classify(
    message: str,
    *,
    status: int | None = None,
    words: str = "",
    default: EndKind = EndKind.FAILED,
) -> ClientEnd:
    """An error as an end, from all that is known of it. Pure.

    Args:
        message: What the client says.
        status: The provider's HTTP status, if the client has it as a number.
        words: What else it says, and is not worth showing: codes, the answer's body.
        default: What it is when nothing fits.
    """
    message = message[:_LOOKED_AT]
    shown = _unwrap(message) or message
    said = f"{message}\n{words[:_LOOKED_AT]}".lower()
    kind = (
        kind_of_words(said, _BEFORE_STATUS)
        or kind_of_status(status or status_in(said))
        or kind_of_words(said, _AFTER_STATUS)
        or default
    )
    return ClientEnd(
        kind=kind,
        message=one_line(shown),
        retry_at=_retry_at(said) if kind is EndKind.LIMITED else None,
        retry_after_s=retry_after(said),
    )


def kind_of_status(status: int | None) -> EndKind | None:
    """What an HTTP status alone says; null when that is not enough."""
    match status:
        case 401 | 402 | 403:
            return EndKind.AUTH
        case 404:
            return EndKind.MISCONFIGURED
        case 429:
            return EndKind.LIMITED
        case 408:
            return EndKind.NETWORK
        case int() if 500 <= status <= 599:  # noqa: PLR2004 - the servers' own errors
            return EndKind.OVERLOADED
        case _:
            return None


def kind_of_words(said: str, rules: Rules) -> EndKind | None:
    """The first rule that fits a text in lower case; null: none does."""
    for kind, words in rules:
        if any(word in said for word in words):
            return kind
    return None


def status_in(said: str) -> int | None:
    """The HTTP status that a text in lower case speaks of."""
    found = _STATUS.search(said)
    return int(found[1]) if found else None


def retry_after(said: str) -> float | None:
    """After how many seconds one may come again, as a text in lower case has it."""
    start = _RETRY.search(said)
    if start is None:
        return None
    at, total, found = start.end(), 0.0, False
    while span := _SPAN.match(said, at):
        total += float(span[1]) * _seconds_of(span[2] or "s")
        at, found = span.end(), True
    return round(total, 3) if found else None


def after_headers(
    headers: Mapping[str, str],
) -> tuple[float | None, int | None]:
    """What the headers of an answer say: after how many seconds, or at which moment."""
    by_name = {name.lower(): value.strip() for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(by_name.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < 1000 * _DAY_S:
            return seconds, None
    try:
        moment = parsedate_to_datetime(by_name.get("retry-after", ""))
    except ValueError:
        return None, None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None, int(moment.timestamp()) * SECOND


def one_line(text: str, longest: int = _MESSAGE_CHARS) -> str:
    """A text on one line, cut with an ellipsis."""
    line = " ".join(text[: 4 * longest].replace("\0", "\ufffd").split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _unwrap(message: str) -> str | None:
    """The words inside, where a message is an API's answer in JSON."""
    at = message.find('{"error"')
    if at < 0:
        return None
    found, _ = objects(message[at:].encode("utf-8", "replace"), _WRAPPED)
    inner = piece(found[0].error, _INNER) if found else None
    return piece(inner.message, _TEXT) if inner else None


def _retry_at(said: str) -> int | None:
    found = _RESETS_AT.search(said)
    return int(found[1]) * SECOND if found else None


def _seconds_of(unit: str) -> float:
    return next((size for name, size in _UNITS if unit.startswith(name)), _DAY_S)
