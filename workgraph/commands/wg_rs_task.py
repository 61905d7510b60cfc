"""One task of the predecessor: its fields as ours, what is left of it as metadata."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET, field

from workgraph.commands import wg_rs_values as values
from workgraph.commands.foreign import take_equals
from workgraph.graph.model import Record
from workgraph.graph.status import SETTLED, Status
from workgraph.graph.times import to_rfc3339

Convert = Callable[[Any], Any]

#: What has an equal that depends on nothing else: ours, and how it gets there.
_FIELDS: Final[Mapping[str, tuple[str, Convert]]] = MappingProxyType(
    {
        "description": ("description", values.text),
        "tags": ("tags", values.texts),
        # There a skill made an agent likely, and kept nobody from the work.
        "skills": ("prefers_skills", values.texts),
        "inputs": ("inputs", values.paths),
        "deliverables": ("outputs", values.paths),
        "working_dir": ("working_dir", values.plain),
        "endpoint": ("endpoint", values.text),
        "timeout": ("timeout_s", values.seconds),
        "max_retries": ("max_attempts", values.attempts_of),
        "paused": ("paused", values.flag),
        "independent": ("independent", values.flag),
        "context_scope": ("context_scope", values.scope),
        "token_usage": ("usage", values.usage),
        "created_at": ("created_at", values.moment),
        "started_at": ("started_at", values.moment),
        "completed_at": ("completed_at", values.moment),
        "last_interaction_at": ("updated_at", values.moment),
    }
)
#: Where each status leads, and what it says besides.
_STATUSES: Final[Mapping[str, tuple[Status, Mapping[str, Any]]]] = MappingProxyType(
    {
        "open": (Status.OPEN, {}),
        "blocked": (Status.OPEN, {}),
        "in-progress": (Status.OPEN, {}),
        "waiting": (Status.WAITING, {}),
        # It had failed to be finished too often: somebody is to look at it first.
        "incomplete": (Status.OPEN, {"paused": True}),
        "pending-validation": (Status.PENDING_REVIEW, {"gate": "human"}),
        "pending-eval": (Status.PENDING_REVIEW, {"gate": "human"}),
        "failed-pending-eval": (Status.PENDING_REVIEW, {"gate": "human"}),
        "pending-review": (Status.DONE, {}),
        "done": (Status.DONE, {}),
        "failed": (Status.FAILED, {}),
        "abandoned": (Status.ABANDONED, {}),
    }
)
_FAILURES: Final = MappingProxyType(
    {
        "agent-hard-timeout": "timed-out",
        "agent-exit-nonzero": "crashed",
        "wrapper-internal": "crashed",
        "api-error-429-rate-limit": "rate-limited",
    }
)
#: What the file says of the graph around a task; it is dealt with elsewhere.
AROUND: Final = frozenset(
    {
        "kind",
        "id",
        "after",
        "blocked_by",
        "before",
        "blocks",
        "log",
        "superseded_by",
        "wait_condition",
        "cycle_config",
        "loops_to",
        "loop_iteration",
    }
)
#: Of no use to anybody: what it was by default.
_DEFAULTS: Final = MappingProxyType({"visibility": "internal", "exec_mode": "full"})


class Converted(Record, frozen=True, kw_only=True):
    """A task in our terms."""

    fields: dict[str, Any]
    #: The names of what is kept as metadata because nothing here equals it.
    kept: tuple[str, ...] = ()
    #: What is to be said of it besides.
    notes: tuple[str, ...] = field(default=())


def convert(old: Mapping[str, Any], now: int, *, machinery: bool) -> Converted:
    """Converts a task, all but its id and what ties it to others.

    Args:
        old: Its line.
        now: The moment of the import.
        machinery: It is one that the predecessor has made for itself.
    """
    # What is empty, zero or no is the same there as not being there at all.
    left = {
        key: value
        for key, value in old.items()
        if (value or (key == "priority" and value is not None))
        and key not in AROUND
        and _DEFAULTS.get(key) != value
    }
    fields: dict[str, Any] = {}
    notes: list[str] = []
    take_equals(left, fields, _FIELDS)
    fields["title"] = _title(old, left)
    _take_status(left, fields, notes)
    settled = fields["status"] in SETTLED
    if machinery and not settled:
        fields |= {"status": Status.ABANDONED, "gate": None}
        notes.append("it was the predecessor's own work: it comes in as abandoned")
        settled = True
    _take_priority(left, fields)
    _take_times(left, fields, now)
    _take_count(left, fields)
    _take_estimate(left, fields)
    _take_client(left, fields)
    _take_checks(left, fields, notes, settled=settled)
    _take_failure(left, fields)
    if left:
        fields["metadata"] = left
    return Converted(fields=fields, kept=tuple(left), notes=tuple(notes))


def _title(old: Mapping[str, Any], left: dict[str, Any]) -> str:
    title = left.pop("title", None)
    if isinstance(title, str) and title.strip():
        return title
    if title is not None:
        left["title"] = title
    return str(old["id"])


def _take_status(
    left: dict[str, Any], fields: dict[str, Any], notes: list[str]
) -> None:
    said = left.pop("status", "open")
    found = _STATUSES.get(said) if isinstance(said, str) else None
    if found is None:
        left["status"] = said
        found = (Status.OPEN, {"paused": True})
        notes.append(f"the status {said!r} is not known: it comes in open and paused")
    status, besides = found
    fields |= {"status": status, **besides}
    if besides or said in {"in-progress", "pending-review"}:
        # As it was, for whoever looks into it.
        left["status"] = said


def _take_priority(left: dict[str, Any], fields: dict[str, Any]) -> None:
    found = values.priority(left.get("priority", 10))
    if found is UNSET:
        return
    fields["priority"], is_all = found
    if is_all:
        left.pop("priority", None)


def _take_times(left: dict[str, Any], fields: dict[str, Any], now: int) -> None:
    """Of two moments before which it is not to start, the later one."""
    found = {
        key: values.moment(left[key])
        for key in ("not_before", "ready_after")
        if key in left
    }
    known = {key: value for key, value in found.items() if value is not UNSET}
    for key in known:
        del left[key]
    ahead = [value for value in known.values() if value > to_rfc3339(now)]
    if ahead:
        fields["not_before"] = max(ahead)


def _take_count(left: dict[str, Any], fields: dict[str, Any]) -> None:
    tried = values.count(left.get("retry_count", 0))
    started = values.count(left.get("dispatch_count", 0))
    if tried is not UNSET and tried:
        fields["attempts"] = tried
        del left["retry_count"]
    if started is not UNSET and started:
        del left["dispatch_count"]
    starts = max(
        tried if tried is not UNSET else 0, started if started is not UNSET else 0
    )
    if starts:
        fields["starts"] = starts


def _take_estimate(left: dict[str, Any], fields: dict[str, Any]) -> None:
    estimate = left.get("estimate")
    if not isinstance(estimate, dict):
        return
    hours = values.hours(estimate.get("hours"))
    if hours is UNSET:
        return
    fields["estimate_s"] = hours
    rest = {
        key: value
        for key, value in estimate.items()
        if key != "hours" and value is not None
    }
    if rest:
        left["estimate"] = rest
    else:
        del left["estimate"]


def _take_client(left: dict[str, Any], fields: dict[str, Any]) -> None:
    """By what it is run: a command, or a client and its model."""
    command = values.plain(left.get("exec"))
    # With another mode a command was for a person to run, and an agent did the work.
    if command is not UNSET and left.get("exec_mode", "shell") == "shell":
        fields["exec"] = command
        del left["exec"]
        left.pop("exec_mode", None)
        return
    model, provider = values.text(left.get("model")), values.text(left.get("provider"))
    executor, name = values.client_and_model(
        None if model is UNSET else model, None if provider is UNSET else provider
    )
    if name is not None:
        fields["model"] = name
        del left["model"]
    if executor is not None:
        fields["executor"] = executor
        if provider is not UNSET and values.client(provider) == executor:
            del left["provider"]


def _take_checks(
    left: dict[str, Any],
    fields: dict[str, Any],
    notes: list[str],
    *,
    settled: bool,
) -> None:
    """Commands become checks; words are for a person who looks at the work."""
    commands: list[str] = []
    verify = left.get("verify")
    if isinstance(verify, str) and values.is_command(verify):
        commands.append(verify)
        del left["verify"]
    more = values.paths(left.get("validation_commands"))
    if more is not UNSET:
        commands += more
        del left["validation_commands"]
    if commands:
        fields["verify"] = commands
    if isinstance(left.get("verify"), str):
        fields["review"] = "human"
        if not settled:
            notes.append("what is to be verified is in words: a person reviews it")


def _take_failure(left: dict[str, Any], fields: dict[str, Any]) -> None:
    reason = left.get("failure_reason")
    if not isinstance(reason, str) or fields["status"] in {Status.OPEN, Status.DONE}:
        return
    if fields["status"] is Status.ABANDONED:
        return
    said = left.get("failure_class")
    known = _FAILURES.get(said) if isinstance(said, str) else None
    fields["failure"] = {"class": known or "failed", "reason": reason}
    del left["failure_reason"]
    if known is not None:
        del left["failure_class"]
