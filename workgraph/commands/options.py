"""Options of `add` and `edit` to a task's fields, each checked where it comes in."""

import re
from collections.abc import Iterable
from typing import Any, Final

from msgspec import UNSET

from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.inputs import split_reference
from workgraph.graph.task_options import TaskOptions
from workgraph.graph.times import Duration, parse_moment

MAX_ID: Final = 64
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_ID: Final = re.compile(r"[^a-z0-9._]+")
#: Ids of the machinery begin like this.
MACHINERY: Final = ("assign-", "reward-", ".")
_PRIORITIES: Final = range(5)
DEFAULT_PRIORITY: Final = 2

#: Option to field, for those whose value is taken as it is.
_PLAIN: Final = {
    "description": "description",
    "skill": "requires_skills",
    "prefer": "prefers_skills",
    "tag": "tags",
    "complexity": "complexity",
    "input": "inputs",
    "output": "outputs",
    "context_file": "context_files",
    "prompt": "prompt",
    "exec": "exec",
    "executor": "executor",
    "model": "model",
    "endpoint": "endpoint",
    "tool": "tools",
    "working_dir": "working_dir",
    "verify": "verify",
    "review": "review",
    "retry_on": "retry_on",
    "context_scope": "context_scope",
}
_LISTS: Final = frozenset(
    {"skill", "prefer", "tag", "input", "output", "context_file", "tool", "verify"}
)
_DURATIONS: Final = {
    "timeout": "timeout_s",
    "stall_timeout": "stall_timeout_s",
    "abandon_after": "abandon_after_s",
    "estimate": "estimate_s",
}


def check_id(task_id: str) -> str:
    """An id that somebody wants to give.

    Raises:
        UsageError: It is not of the form of an id, or the machinery's.
    """
    if task_id.startswith(MACHINERY):
        raise UsageError(
            f"ids that begin with {', '.join(MACHINERY)} are the machinery's",
            hint="choose another id",
        )
    if not _ID.fullmatch(task_id) or len(task_id) > MAX_ID:
        raise UsageError(
            f"{task_id!r} is not an id",
            hint=f"lower case letters, digits, . _ and -, at most {MAX_ID},"
            " first a letter or digit",
        )
    return task_id


def id_from_title(title: str) -> str:
    """A readable id for a title; it may be taken."""
    slug = _NOT_IN_ID.sub("-", title.lower()).strip("-._")
    slug = slug[:MAX_ID].strip("-._") or "task"
    return f"task-{slug}"[:MAX_ID] if slug.startswith(MACHINERY) else slug


def numbered(slug: str, number: int) -> str:
    """The same id with a number behind it, inside the limit."""
    end = f"-{number}"
    return slug[: MAX_ID - len(end)] + end


def producers(inputs: Iterable[str]) -> list[str]:
    """The tasks that inputs are of, in their order; paths are of none."""
    found = (split_reference(reference) for reference in inputs)
    return list(dict.fromkeys(one[0] for one in found if one is not None))


def spec_changes(options: TaskOptions) -> dict[str, Any]:
    """The fields of a `TaskSpec` that these options set.

    An empty text takes an optional value away.

    Raises:
        UserError: A value is not one that the option takes.
    """
    changes: dict[str, Any] = {}
    for option, name in _PLAIN.items():
        value = getattr(options, option)
        if value is not UNSET:
            changes[name] = _plain(option, value)
    for option, name in _DURATIONS.items():
        value = getattr(options, option)
        if value is not UNSET:
            changes[name] = float(Duration.parse(value)) if value else None
    if options.env is not UNSET:
        changes["env"] = _env(options.env)
    for option in ("max_attempts", "budget_tokens", "budget_usd"):
        value = getattr(options, option)
        if value is not UNSET:
            changes[option] = None if value is None else _positive(option, value)
    if changes.get("exec") and changes.get("executor") not in {None, "shell"}:
        raise UserError(
            f"a task with --exec is a shell task, not one for {changes['executor']}",
            hint="leave out --exec or --executor",
        )
    return changes


def priority_of(options: TaskOptions, otherwise: int) -> int:
    """The priority that is asked for, 0 (first) to 4; null is the default."""
    if options.priority is UNSET:
        return otherwise
    if options.priority is None:
        return DEFAULT_PRIORITY
    if options.priority not in _PRIORITIES:
        raise UsageError(
            f"{options.priority} is not a priority", hint="0 (first) to 4 (last)"
        )
    return options.priority


def not_before_of(options: TaskOptions, otherwise: int | None, now: int) -> int | None:
    """The moment before which a task is not to start; an empty text means none."""
    if options.not_before is UNSET:
        return otherwise
    return parse_moment(options.not_before, now) if options.not_before else None


def actor_of(options: TaskOptions, otherwise: str | None) -> str | None:
    """The actor that is asked for; an empty text means none."""
    return otherwise if options.actor is UNSET else options.actor or None


def unique(items: tuple[str, ...]) -> tuple[str, ...]:
    """The same in the same order, each once."""
    return tuple(dict.fromkeys(items))


def _plain(option: str, value: Any) -> Any:  # noqa: ANN401 - as the option has it
    if option in _LISTS:
        return unique(tuple(item for item in value if item))
    return value if option == "description" else value or None


def _env(pairs: tuple[str, ...]) -> dict[str, str]:
    env: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _ENV_NAME.fullmatch(name):
            raise UsageError(
                f"{pair!r} does not set a variable", hint="write --env NAME=VALUE"
            )
        if "\0" in value:
            raise UsageError(
                f"the value of {name} has a NUL in it", hint="leave it out"
            )
        if name.startswith("WG_"):
            raise UsageError(
                f"{name} is set by workgraph itself", hint="choose another name"
            )
        env[name] = value
    return env


def _positive(option: str, value: float) -> float | None:
    if value < 0 or (option == "max_attempts" and value < 1):
        raise UsageError(
            f"--{option.replace('_', '-')} takes a number above 0, not {value}",
            hint="leave it out for no limit of its own",
        )
    return value
