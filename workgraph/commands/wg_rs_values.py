"""Values of foreign tasks, above all the predecessor's, in the shapes of ours.

Each function takes what JSON gave, and gives `UNSET` for what has no equal here.
"""

import math
import re
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET, UnsetType

from workgraph.commands.line_base import MOST
from workgraph.graph.errors import UserError
from workgraph.graph.times import parse_moment, to_rfc3339

#: Who has said and done what nobody is named for.
ORIGIN: Final = "wg-rs"
#: Far beyond any moment that was ever meant.
_LAST_MOMENT: Final = 253_402_300_799_999_000
_LONGEST_S: Final = 100 * 366 * 86400.0
_SECONDS: Final = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400})
_DURATION: Final = re.compile(r"\s*([0-9]{1,12})([smhd])\s*")
#: From the highest; there, more is more urgent, and 10 is the usual.
_PRIORITIES: Final = ((100, 0), (50, 1), (10, 2), (5, 3), (0, 4))
_NAMED: Final = MappingProxyType(
    {"critical": 100, "high": 50, "normal": 10, "low": 5, "idle": 0}
)
#: What people check by: a criterion that begins with one of these is a command.
_PROGRAMS: Final = re.compile(
    r"(?:bash|bun|cargo|cat|cmake|cmp|deno|diff|docker|find|git|go|gradle|grep|jq|just"
    r"|ls|make|mvn|ninja|node|npm|npx|pnpm|pytest|python|python3|rg|ruff|rustc|sh|test"
    r"|timeout|tox|tsc|uv|wg|yarn|\[|!)"
)
_CLIENTS: Final = MappingProxyType(
    {
        "claude": "claude",
        "codex": "codex",
        "gemini": "gemini",
        "opencode": "opencode",
        "native": "native",
        "nex": "native",
    }
)


def text(value: object) -> str | UnsetType:
    """Words, without what no command line could hold."""
    return value if isinstance(value, str) else UNSET


def plain(value: object) -> str | UnsetType:
    """A path or a command."""
    return value if isinstance(value, str) and "\0" not in value else UNSET


def texts(value: object) -> list[str] | UnsetType:
    """A list of words, each once."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return list(dict.fromkeys(value))
    return UNSET


def paths(value: object) -> list[str] | UnsetType:
    """A list of paths."""
    found = texts(value)
    if found is UNSET or "\0" in "".join(found):
        return UNSET
    return found


def flag(value: object) -> bool | UnsetType:
    """Yes or no."""
    return value if isinstance(value, bool) else UNSET


def count(value: object) -> int | UnsetType:
    """A number of something."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST:
        return value
    return UNSET


def attempts_of(value: object) -> int | UnsetType:
    """The attempts that there may be: one more than it may be tried again."""
    found = count(value)
    return UNSET if found is UNSET else found + 1


def seconds(value: object) -> float | UnsetType:
    """`30m` in seconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return UNSET
    found = float(int(match[1]) * _SECONDS[match[2]])
    return found if found <= _LONGEST_S else UNSET


def hours(value: object) -> float | UnsetType:
    """An estimate in hours, in seconds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return UNSET
    found = value * 3600.0
    return found if math.isfinite(found) and 0 <= found <= _LONGEST_S else UNSET


def scope(value: object) -> str | UnsetType:
    """How much context it is given."""
    known = {"clean", "task", "graph", "full"}
    return value if isinstance(value, str) and value in known else UNSET


@lru_cache(maxsize=4096)
def _moment(value: str) -> str | UnsetType:
    try:
        found = parse_moment(value, -1)
    except (UserError, OverflowError):
        return UNSET
    # A duration is not a moment here: it would end up near the epoch's beginning.
    return to_rfc3339(found) if 0 <= found <= _LAST_MOMENT else UNSET


def moment(value: object) -> str | UnsetType:
    """A moment, as ours are written."""
    if not isinstance(value, str) or len(value) < len("2026-01-01"):
        return UNSET
    return _moment(value)


def usage(value: object) -> dict[str, Any] | UnsetType:
    """What it has cost: what was put into a cache counts as not from it."""
    if not isinstance(value, dict):
        return UNSET
    names = ("input_tokens", "cache_creation_input_tokens")
    fresh = [count(value.get(name, 0)) for name in names]
    cached = count(value.get("cache_read_input_tokens", 0))
    output = count(value.get("output_tokens", 0))
    cost = value.get("cost_usd", 0.0)
    if not isinstance(cost, int | float) or not 0 <= cost < MOST:
        return UNSET
    if UNSET in {*fresh, cached, output}:
        return UNSET
    return {
        "input_tokens": sum(one for one in fresh if one is not UNSET),
        "cached_tokens": cached,
        "output_tokens": output,
        "cost_usd": float(cost),
    }


def priority(value: object) -> tuple[int, bool] | UnsetType:
    """Ours, and whether that says all that theirs did."""
    found = _NAMED.get(value.lower()) if isinstance(value, str) else count(value)
    if found is None or found is UNSET:
        return UNSET
    for least, ours in _PRIORITIES:
        if found >= least:
            return ours, found == least
    raise AssertionError(value)


def is_command(criterion: str) -> bool:
    """Whether what is to be verified is a command; else it is words for somebody.

    There, words were told from commands when they were run. Here, what is not surely a
    command is for a person to look at: a wrong guess would run them.
    """
    first = criterion.split(maxsplit=1)[0] if criterion.strip() else ""
    if "\0" in criterion or "\n" in criterion.strip():
        return False
    return bool(_PROGRAMS.fullmatch(first)) or first.startswith(("./", "/"))


def client_and_model(
    model: str | None, provider: str | None
) -> tuple[str | None, str | None]:
    """The executor that a model was run by, where that was said, and the model."""
    if model is not None and ":" in model:
        before, _, name = model.partition(":")
        if before in _CLIENTS and name:
            return _CLIENTS[before], name
    return client(provider), model


def client(name: str | None) -> str | None:
    """The executor here of a client there."""
    return None if name is None else _CLIENTS.get(name)
