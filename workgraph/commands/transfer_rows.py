"""From a line of an import to what is stored, for each kind, with its checks.

The checks are those of `wg add`: what that refuses can't come in this way either.
"""

import re
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET

from workgraph.commands import options
from workgraph.commands.line_errors import bad_line
from workgraph.commands.transfer_lines import (
    AgentLine,
    LogLine,
    SpendRef,
    TaskLine,
    UsageRef,
    check_depth,
    encode,
    read_moment,
)
from workgraph.graph.budgets import date_of, day_named, day_of
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.model import (
    AgentStatus,
    EdgeKind,
    Progress,
    TaskSpec,
    Usage,
    parse_agent_id,
)
from workgraph.graph.status import SETTLED, Status
from workgraph.store.transfer import (
    NewAgentRow,
    NewRow,
    StoredSpend,
)
from workgraph.store.transfer_artifacts import Consumed, StoredArtifact

#: As `wg add` takes them, and as the machinery makes them (`.chat-3`, `assign-x`).
_ID: Final = re.compile(r"\.?[a-z0-9][a-z0-9._-]*")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GATES: Final = frozenset({"outputs", "verify", "reward", "human", "loop", "verdict"})
#: As long as a duration on the command line can be.
_LONGEST_S: Final = 100 * 366 * 86400.0
_DURATIONS: Final = ("timeout_s", "stall_timeout_s", "abandon_after_s", "estimate_s")
_SPEC_FIELDS: Final = TaskSpec.__struct_fields__
_spec_values: Final = attrgetter(*_SPEC_FIELDS)
_NO_USAGE: Final = "{}"


def is_id(text: str) -> bool:
    """Whether a task can have this id; those of the machinery can come in."""
    return len(text) <= options.MAX_ID and _ID.fullmatch(text) is not None


def waits_of(number: int, line: TaskLine) -> dict[str, EdgeKind]:
    """What a task waits for; without `after`, the producers of its inputs.

    Raises:
        UserError: The same dependency is there in two ways.
    """
    if isinstance(line.after, msgspec.UnsetType):
        return dict.fromkeys(options.producers(line.inputs), "done")
    waits: dict[str, EdgeKind] = {}
    for item in line.after:
        dep = item if isinstance(item, str) else item.id
        on: EdgeKind = "done" if isinstance(item, str) else item.on
        if waits.setdefault(dep, on) != on:
            raise bad_line(number, f"after: {dep!r} is there in two ways")
    return waits


def task_row(number: int, task: str, line: TaskLine, now: int) -> NewRow:
    """A task as it is to be stored.

    One in progress comes in as open: claims can't be taken elsewhere.

    Raises:
        UserError: A value is not one that a task can have.
    """
    _check_task(number, line)
    status = Status.OPEN if line.status is Status.IN_PROGRESS else line.status
    not_before = read_moment(number, "not_before", line.not_before, now)
    retry_at = read_moment(number, "retry_at", line.retry_at, now)
    waits_until = max(not_before or 0, retry_at or 0)
    created_at = read_moment(number, "created_at", line.created_at, now)
    updated_at = read_moment(number, "updated_at", line.updated_at, now)
    completed_at = read_moment(number, "completed_at", line.completed_at, now)
    if completed_at is None and status in SETTLED:
        completed_at = now
    spec = TaskSpec(**dict(zip(_SPEC_FIELDS, _spec_values(line), strict=True)))
    return NewRow(
        id=task,
        spec=encode(spec).decode(),
        status=status,
        priority=line.priority,
        paused=line.paused,
        actor=line.actor,
        actor_matched=line.actor_matched,
        reserved_for=line.reserved_for,
        attempts=line.attempts,
        starts=line.starts,
        not_before=not_before,
        retry_at=retry_at,
        start_after=waits_until if waits_until > now else None,
        gate=line.gate,
        failure=None if line.failure is None else encode(line.failure).decode(),
        progress=_progress(number, line, now),
        usage=_usage(line.usage),
        summary=line.summary,
        superseded_by=line.superseded_by,
        added_by=line.added_by,
        depth=line.depth,
        created_at=now if created_at is None else created_at,
        started_at=read_moment(number, "started_at", line.started_at, now),
        completed_at=completed_at,
        updated_at=now if updated_at is None else updated_at,
    )


def artifact_rows(number: int, line: TaskLine, now: int) -> list[StoredArtifact]:
    """The artifacts of a task.

    Raises:
        UserError: Two have the same name, or a time is none.
    """
    rows: dict[str, StoredArtifact] = {}
    for artifact in line.artifacts:
        if artifact.name in rows:
            raise bad_line(number, f"artifacts: {artifact.name!r} is there twice")
        at = read_moment(number, "artifacts", artifact.at, now)
        rows[artifact.name] = StoredArtifact(
            name=artifact.name,
            path=artifact.path,
            sha256=artifact.sha256,
            size=artifact.size,
            agent=artifact.agent,
            at=now if at is None else at,
            kept=artifact.kept,
        )
    return list(rows.values())


def consumed_rows(number: int, line: AgentLine, agent: int) -> list[Consumed]:
    """What an attempt was given.

    Raises:
        UserError: The same artifact is there twice.
    """
    rows: dict[tuple[str, str], Consumed] = {}
    for one in line.consumed:
        if (one.task, one.name) in rows:
            what = f"consumed: {one.task}:{one.name} is there twice"
            raise bad_line(number, what)
        rows[one.task, one.name] = Consumed(
            agent=agent, task=one.task, name=one.name, sha256=one.sha256
        )
    return list(rows.values())


def agent_row(number: int, line: AgentLine, now: int) -> NewAgentRow:
    """An attempt as it is to be stored.

    Raises:
        UserError: It has not ended, or a value is not right.
    """
    agent = parse_agent_id(line.id)
    if not agent or line.id != f"agent-{agent}":
        raise bad_line(number, f"{line.id!r} is not an agent's id")
    if line.status is not AgentStatus.ENDED:
        what = f"{line.id} is {line.status}: only one that has ended can come in"
        raise bad_line(number, what)
    started_at = read_moment(number, "started_at", line.started_at, now)
    ended_at = read_moment(number, "ended_at", line.ended_at, now)
    active_at = read_moment(number, "last_activity_at", line.last_activity_at, now)
    assert started_at is not None
    assert ended_at is not None
    return NewAgentRow(
        number=agent,
        task=line.task,
        attempt=line.attempt,
        actor=line.actor,
        actor_id=line.actor_id,
        to_judge=line.to_judge,
        executor=line.executor,
        model=line.model,
        endpoint=line.endpoint,
        human=line.human,
        outcome=line.outcome,
        exit_code=line.exit_code,
        signal=line.signal,
        process=None if line.process is None else encode(line.process).decode(),
        verdict=line.verdict,
        reason=line.reason,
        counted=line.counted,
        workspace=line.workspace,
        plan_line=line.plan,
        said=line.said,
        started_at=started_at,
        ended_at=ended_at,
        last_activity_at=ended_at if active_at is None else active_at,
        usage=_usage(line.usage),
    )


def spend_rows(number: int, line: AgentLine, row: NewAgentRow) -> list[StoredSpend]:
    """What an attempt has used, by days.

    Raises:
        UserError: A day is none, or is there twice.
    """
    refs = line.spend
    if refs is UNSET:
        refs = _spent_at_once(line.usage or Usage(), date_of(day_of(row.ended_at)))
    rows: dict[int, StoredSpend] = {}
    for ref in refs:
        try:
            day = day_named(ref.day)
        except ValueError as error:
            raise bad_line(number, f"spend: {ref.day!r} is not a date") from error
        if day < 0 or day in rows:
            raise bad_line(number, f"spend: {ref.day} is there twice, or before 1970")
        rows[day] = StoredSpend(
            day=day,
            agent=row.number,
            input_tokens=ref.input_tokens,
            cached_tokens=ref.cached_tokens,
            output_tokens=ref.output_tokens,
            cost_usd=ref.cost_usd,
        )
    return list(rows.values())


def _spent_at_once(usage: Usage, date: str) -> tuple[SpendRef, ...]:
    all_of_it = SpendRef(
        day=date,
        input_tokens=usage.input_tokens or 0,
        cached_tokens=usage.cached_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cost_usd=usage.cost_usd or 0.0,
    )
    return () if all_of_it == SpendRef(day=date) else (all_of_it,)


def log_change(number: int, line: LogLine, by: str, now: int) -> Change:
    """A row of the change log; its `seq` is given when it is written."""
    at = read_moment(number, "at", line.at, now)
    return Change(
        seq=0,
        at=now if at is None else at,
        kind=ChangeKind.TASK_LOGGED if line.change is None else line.change,
        task=line.task,
        agent=line.agent,
        attempt=line.attempt,
        actor=line.actor,
        by=by if line.by is None else line.by,
        verb=line.verb,
        from_=line.from_,
        to=line.to,
        reason=line.reason,
        percent=line.percent,
    )


def _check_task(number: int, line: TaskLine) -> None:
    if not line.title.strip():
        raise bad_line(number, "title: it is empty")
    if line.gate is not None:
        if line.gate not in _GATES:
            raise bad_line(number, f"gate: {line.gate!r} is none")
        if line.status is not Status.PENDING_REVIEW:
            what = f"gate: a task that is {line.status} is at none"
            raise bad_line(number, what)
    if line.exec and line.executor not in {None, "shell"}:
        what = f"exec: a task with it is a shell task, not one for {line.executor}"
        raise bad_line(number, what)
    _check_numbers(number, line)
    _check_texts(number, line)
    if line.metadata:
        check_depth(number, line.metadata)


def _check_numbers(number: int, line: TaskLine) -> None:
    for name in _DURATIONS:
        seconds: float | None = getattr(line, name)
        if seconds is not None and not 0 <= seconds <= _LONGEST_S:
            raise bad_line(number, f"{name}: {seconds} is not a duration")
    if line.max_attempts is not None and line.max_attempts < 1:
        raise bad_line(number, f"max_attempts: {line.max_attempts} is not above 0")
    for budget in (line.budget_tokens, line.budget_usd):
        if budget is not None and budget < 0:
            raise bad_line(number, f"budget: {budget} is below 0")


def _check_texts(number: int, line: TaskLine) -> None:
    paths = (*line.inputs, *line.outputs, *line.context_files, line.working_dir or "")
    if "\0" in "".join((*paths, *line.verify, line.exec or "")):
        raise bad_line(number, "a path or a command has a NUL in it")
    for name, value in line.env.items():
        if not _ENV_NAME.fullmatch(name) or "\0" in value:
            raise bad_line(number, f"env: {name!r} can't be set so")
        if name.startswith("WG_"):
            raise bad_line(number, f"env: {name} is set by workgraph itself")


def _progress(number: int, line: TaskLine, now: int) -> str | None:
    if line.progress is None:
        return None
    at = read_moment(number, "progress", line.progress.at, now)
    progress = Progress(
        percent=line.progress.percent,
        message=line.progress.message,
        at=now if at is None else at,
    )
    return encode(progress).decode()


def _usage(usage: UsageRef | None) -> str:
    if usage is None or usage == UsageRef():
        return _NO_USAGE
    return encode(usage).decode()
