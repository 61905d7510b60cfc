"""The lines of an export: one struct for each kind, and text to structs.

The same structs are written and read, so that a field can't be in one and not in the
other. Reading is strict: a line that is not right is named, with what is wrong.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from workgraph.commands.agency_lines import (
    ChoiceLine,
    ErrandLine,
    ProposalLine,
    RewardLine,
)
from workgraph.commands.canary_line import CanaryLine
from workgraph.commands.chat_line import ChatLine, ChatMessageLine
from workgraph.commands.identity_line import (
    ActorLine,
    IdentityLine,
    RoleLine,
    TradeoffLine,
)
from workgraph.commands.line_base import MOST, Count, LineBase
from workgraph.commands.line_errors import bad_line
from workgraph.commands.message_line import MessageLine
from workgraph.commands.tie_lines import LoopLine, PromptLine, TrajectoryLine
from workgraph.commands.wait_line import WaitLine
from workgraph.graph.errors import UserError
from workgraph.graph.identity_requests import ActorData, RoleData, TradeoffData
from workgraph.graph.model import (
    DEFAULT_PRIORITY,
    AgentStatus,
    Edge,
    EdgeKind,
    Failure,
    Outcome,
    ProcessId,
    Record,
    TaskSpec,
    Usage,
)
from workgraph.graph.replies import AgentData, ChangeData, TaskData
from workgraph.graph.reward_requests import RewardData
from workgraph.graph.status import Status
from workgraph.graph.times import parse_moment, to_rfc3339

Code = Annotated[int, Meta(ge=-MOST, le=MOST)]
Percent = Annotated[float, Meta(ge=0, le=100)]
#: The last moment that RFC 3339 can write.
_LAST_MOMENT: Final = 253_402_300_799_999_000
#: Levels of an unknown value; more would make it unreadable for some program.
_DEEPEST: Final = 100
_WHERE: Final = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)


class EdgeRef(Edge, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dependency in its task's line."""


class FailureRef(Failure, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the last attempt did not end well."""


class UsageRef(Usage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it cost."""


class SpendRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an attempt has used on one day; a correction may be less than nothing."""

    day: str
    input_tokens: Code = 0
    cached_tokens: Code = 0
    output_tokens: Code = 0
    cost_usd: float = 0.0


class ProcessRef(ProcessId, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process that an attempt was."""


class ArtifactRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artifact in its task's line."""

    name: str
    path: str
    sha256: str
    size: Count
    agent: str | None = None
    at: str | None = None
    #: A copy stands in `.wg/artifacts`: it has to be brought along by other means.
    kept: bool = False


class ConsumedRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of an artifact that an attempt was given, in the attempt's line."""

    task: str
    name: str
    sha256: str


class ProgressRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far its worker says it is."""

    percent: Percent
    message: str | None = None
    at: str | None = None


class TaskLine(
    TaskSpec,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="task",
    forbid_unknown_fields=True,
):
    """A task with its edges and artifacts. Nothing but the title is needed."""

    id: str | None = None
    status: Status = Status.OPEN
    priority: Annotated[int, Meta(ge=0, le=4)] = DEFAULT_PRIORITY
    paused: bool = False
    #: Where it is left out, the producers of the task's inputs.
    after: tuple[str | EdgeRef, ...] | UnsetType = UNSET
    actor: str | None = None
    actor_matched: bool = False
    reserved_for: str | None = None
    attempts: Count = 0
    starts: Count = 0
    not_before: str | None = None
    retry_at: str | None = None
    gate: str | None = None
    failure: FailureRef | None = None
    progress: ProgressRef | None = None
    usage: UsageRef | None = None
    summary: str | None = None
    superseded_by: str | None = None
    added_by: str | None = None
    depth: Count = 0
    artifacts: tuple[ArtifactRef, ...] = ()
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    updated_at: str | None = None


class EdgeLine(LineBase, frozen=True, kw_only=True, tag="edge"):
    """A dependency in a line of its own."""

    task: str
    after: str
    on: EdgeKind = "done"


class AgentLine(LineBase, frozen=True, kw_only=True, tag="agent"):
    """An attempt that is over."""

    id: str
    task: str
    attempt: Annotated[int, Meta(ge=1, le=MOST)]
    actor: str | None = None
    #: The identity of its actor as it was.
    actor_id: str | None = None
    executor: str
    model: str | None = None
    endpoint: str | None = None
    status: AgentStatus = AgentStatus.ENDED
    human: bool = False
    outcome: Outcome | None = None
    exit_code: Code | None = None
    signal: Code | None = None
    process: ProcessRef | None = None
    verdict: Outcome | None = None
    reason: str | None = None
    counted: bool = True
    workspace: str | None = None
    plan: str | None = None
    #: What its client has said last. The session is the machine's, and stays.
    said: str | None = None
    started_at: str
    ended_at: str
    last_activity_at: str | None = None
    usage: UsageRef | None = None
    #: The same by days; where it is left out, all of it on the day of its end.
    spend: tuple[SpendRef, ...] | UnsetType = UNSET
    consumed: tuple[ConsumedRef, ...] = ()
    #: Its work is to be judged, and has not been.
    to_judge: bool = False


class LogLine(LineBase, frozen=True, kw_only=True, tag="log"):
    """A row of the change log about a task; without `change` it is somebody's words."""

    task: str
    at: str | None = None
    change: str | None = None
    agent: str | None = None
    attempt: Count | None = None
    actor: str | None = None
    by: str | None = None
    verb: str | None = None
    from_: str | None = field(default=None, name="from")
    to: str | None = None
    reason: str | None = None
    percent: Percent | None = None


Line = (
    TaskLine
    | EdgeLine
    | AgentLine
    | PromptLine
    | LoopLine
    | MessageLine
    | ChatLine
    | ChatMessageLine
    | TrajectoryLine
    | WaitLine
    | RewardLine
    | ChoiceLine
    | ErrandLine
    | CanaryLine
    | ProposalLine
    | LogLine
    | IdentityLine
)

_KINDS: Final[Mapping[str, type[Line]]] = MappingProxyType(
    {
        "task": TaskLine,
        "edge": EdgeLine,
        "agent": AgentLine,
        "prompt": PromptLine,
        "message": MessageLine,
        "chat": ChatLine,
        "chat_message": ChatMessageLine,
        "wait": WaitLine,
        "log": LogLine,
        "trajectory": TrajectoryLine,
        "loop": LoopLine,
        "reward": RewardLine,
        "choice": ChoiceLine,
        "errand": ErrandLine,
        "canary": CanaryLine,
        "proposal": ProposalLine,
        "actor": ActorLine,
        "role": RoleLine,
        "tradeoff": TradeoffLine,
    }
)
#: What `--json` shows and nobody has to bring: it follows from the rest.
_DERIVED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "task": frozenset(TaskData.__struct_encode_fields__),
        "agent": frozenset(AgentData.__struct_encode_fields__),
        "log": frozenset(ChangeData.__struct_encode_fields__),
        "actor": frozenset(ActorData.__struct_encode_fields__),
        "role": frozenset(RoleData.__struct_encode_fields__),
        "tradeoff": frozenset(TradeoffData.__struct_encode_fields__),
        "reward": frozenset(RewardData.__struct_encode_fields__),
    }
)
encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Line).decode
_decode_any: Final = msgspec.json.Decoder().decode
#: Many rows share their moments with their neighbours.
write_moment: Final = lru_cache(maxsize=4096)(to_rfc3339)
_parse: Final = lru_cache(maxsize=4096)(parse_moment)


class LineReader:
    """Text to lines, and what is to be said about it all in the end."""

    def __init__(self) -> None:
        #: Kind and key to the first line that has it, and how many have.
        self._unknown: dict[tuple[str, str], tuple[int, int]] = {}

    def read(self, text: str) -> Iterator[tuple[int, Line]]:
        """The lines with their numbers, blank ones passed over.

        Raises:
            UserError: A line is not one of ours; it is named.
        """
        # A title may hold U+2028 or NEL, so only a newline ends a line.
        number, start = 0, 1 if text.startswith("\ufeff") else 0
        while start < len(text):
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            number += 1
            line = text[start:end]
            start = end + 1
            try:
                yield number, _decode(line)
            except msgspec.ValidationError:
                yield number, self._decode_slowly(number, line)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                if line and not line.isspace():
                    raise bad_line(number, f"broken JSON: {error}") from error

    def warnings(self) -> Iterator[str]:
        """One for each key that is not known."""
        for (kind, key), (number, count) in self._unknown.items():
            where = f"line {number}"
            if count > 1:
                where += f" and {count - 1} more"
            kept = "kept as metadata"
            if not _has_metadata(_KINDS[kind]):
                kept = "left out, there is no place for it"
            yield f"unknown key {key!r} of {kind} ({where}): {kept}"

    def _decode_slowly(self, number: int, line: str) -> Line:
        """Finds out what the quick way did not like; unknown keys become metadata."""
        try:
            fields = _decode_any(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise bad_line(number, f"broken JSON: {error}") from error
        if not isinstance(fields, dict):
            raise bad_line(number, "it is not a JSON object")
        kind = fields.setdefault("kind", "task" if "title" in fields else None)
        shape = _KINDS.get(kind) if isinstance(kind, str) else None
        if not isinstance(kind, str) or shape is None:
            known = ", ".join(_KINDS)
            what = "it has neither kind nor title"
            if kind is not None:
                what = f"the kind {kind!r} is not known; known are {known}"
            raise bad_line(number, what)
        self._keep_unknown(number, kind, shape, fields)
        try:
            return msgspec.convert(fields, shape)
        except msgspec.ValidationError as error:
            raise bad_line(number, _readable(str(error))) from error

    def _keep_unknown(
        self, number: int, kind: str, shape: type[Line], fields: dict[str, Any]
    ) -> None:
        known = {"kind", *shape.__struct_encode_fields__}
        extra: dict[str, Any] = {}
        for key in [key for key in fields if key not in known]:
            value = fields.pop(key)
            if key in _DERIVED.get(kind, ()):
                continue
            extra[key] = value
            first, count = self._unknown.get((kind, key), (number, 0))
            self._unknown[kind, key] = (first, count + 1)
        metadata = fields.get("metadata", {})
        if not extra or not _has_metadata(shape) or not isinstance(metadata, dict):
            return
        for key in extra:
            if key in metadata:
                raise bad_line(number, f"{key!r} is there twice: in metadata, too")
        fields["metadata"] = metadata | extra


def check_depth(number: int, metadata: Mapping[str, Any]) -> None:
    """Refuses what is nested too deeply to be written again.

    Raises:
        UserError: It is.
    """
    level: list[Any] = list(metadata.values())
    depth = 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise bad_line(number, f"more than {_DEEPEST} levels of unknown values")
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = inner


def read_moment(number: int, name: str, text: str | None, now: int) -> int | None:
    """A moment in a line, or null.

    Raises:
        UserError: It is none, or none that can be written again.
    """
    if text is None:
        return None
    try:
        moment = _parse(text, now)
    except (UserError, OverflowError) as error:
        raise bad_line(number, f"{name}: {text!r} is not a time") from error
    if not 0 <= moment <= _LAST_MOMENT:
        raise bad_line(number, f"{name}: {text!r} is not between 1970 and 9999")
    return moment


def _has_metadata(shape: type[Line]) -> bool:
    return "metadata" in shape.__struct_fields__


def _readable(message: str) -> str:
    match = _WHERE.fullmatch(message)
    assert match is not None
    what = match[1].replace("Object missing required field", "it has no")
    what = what[:1].lower() + what[1:]
    return f"{match[2]}: {what}" if match[2] else what
