"""Tasks and their logs as people read them."""

import shlex
from collections.abc import Sequence

from workgraph.commands.escape import escape_line
from workgraph.commands.render_agents import run_lines
from workgraph.commands.render_chats import stands_lines
from workgraph.commands.render_messages import short_lines
from workgraph.commands.render_rewards import reward_words
from workgraph.commands.render_style import (
    Style,
    as_lines,
    block,
    key_lines,
    section,
    table,
)
from workgraph.commands.render_trajectories import trajectory_words
from workgraph.commands.render_usage import cost_of, usage_text
from workgraph.graph.inputs import StaleInput
from workgraph.graph.replies import LogData, TaskData, WhyData
from workgraph.graph.times import format_duration

#: A chat has had many handlers after a while.
_HANDLERS = 10


def task_page(task: TaskData, style: Style) -> str:
    """Everything about a task: `Key: value` lines, then sections."""
    lines = [
        f"ID: {escape_line(task.id)}",
        f"Title: {escape_line(task.title)}",
        f"Status: {style.word(task.status)}",
        *_of_work_or_chat(task, style),
        *key_lines(_history(task, style)),
        *section("Description", block(task.description)),
        *section("Prompt", block(task.prompt or "")),
        *section("Summary", block(task.summary or "")),
        *section(
            "Said after its end",
            [
                escape_line(f"{one.agent} ({style.moment(one.at)}): {one.message}")
                for one in task.late
            ],
        ),
        *section(*_runs(task, style)),
        *section("Messages", short_lines(task.messages, style)),
        *section("After", [_edge(edge.id, edge.on) for edge in task.after]),
        *section("Before", [escape_line(one) for one in task.before]),
        *section("Inputs", _texts(task.inputs)),
        *section("Stale inputs", [_stale(one) for one in task.stale]),
        *section("Outputs", _texts(task.outputs)),
        *section("Context files", _texts(task.context_files)),
        *section("Verify", _texts(task.verify)),
        *section(
            "Environment",
            [escape_line(f"{name}={value}") for name, value in task.env.items()],
        ),
        *section(
            "Artifacts",
            [
                escape_line(f"{one.name}: {one.path} ({one.size} bytes, {one.sha256})")
                for one in task.artifacts
            ],
        ),
        *section(
            "Metadata",
            [escape_line(f"{key}: {value}") for key, value in task.metadata.items()],
        ),
    ]
    return as_lines(lines)


def task_table(tasks: Sequence[TaskData], style: Style) -> str:
    """Tasks in every status."""
    return table(
        ("ID", "STATUS", "PRIO", "ASSIGNED", "TITLE"),
        [
            (
                escape_line(task.id),
                task.status,
                f"P{task.priority}",
                escape_line(task.agent or task.actor or "-"),
                _titled(task),
            )
            for task in tasks
        ],
        style,
        words=1,
    )


def ready_table(tasks: Sequence[TaskData], style: Style) -> str:
    """What can be worked on now."""
    return table(
        ("ID", "PRIO", "ACTOR", "TITLE"),
        [
            (
                escape_line(task.id),
                f"P{task.priority}",
                escape_line(task.actor or "-"),
                _titled(task),
            )
            for task in tasks
        ],
        style,
        words=-1,
    )


def blocked_table(tasks: Sequence[TaskData], style: Style) -> str:
    """What can't be worked on, with what it is after."""
    return table(
        ("ID", "PRIO", "AFTER", "TITLE"),
        [
            (
                escape_line(task.id),
                f"P{task.priority}",
                escape_line(",".join(edge.id for edge in task.after)) or "-",
                _titled(task),
            )
            for task in tasks
        ],
        style,
        words=-1,
    )


def why_page(why: WhyData, style: Style) -> str:
    """One line for each reason, with its remedy; or since when it runs."""
    task = escape_line(why.task)
    lines = []
    if why.run is not None:
        since = style.moment(why.run.since)
        actor = f" for {why.run.actor}" if why.run.actor else ""
        lines.append(
            f"{task} is running: {why.run.agent}{escape_line(actor)}, since {since}"
        )
        if why.run.plan:
            lines.append(f"  {escape_line(why.run.plan)}")
        lines.extend(f"  {escape_line(note)}" for note in why.run.notes)
    for reason in why.reasons:
        remedy = f" → {escape_line(reason.remedy)}" if reason.remedy else ""
        lines.append(f"{reason.code}: {escape_line(reason.message)}{remedy}")
    if why.loop is not None:
        lines.append(f"loop: {escape_line(why.loop.stands)}")
        lines.extend(f"  {line}" for line in block(why.loop.evidence or ""))
    return as_lines(lines)


def log_lines(entries: Sequence[LogData], style: Style) -> str:
    """One line for each entry."""
    return as_lines([_log_line(entry, style) for entry in entries])


def _log_line(entry: LogData, style: Style) -> str:
    percent = f"{entry.percent:g} %" if entry.percent is not None else ""
    said = ": ".join(part for part in (percent, escape_line(entry.message)) if part)
    kind = "" if entry.kind == "log" else f"{entry.kind} "
    by = escape_line(entry.agent or entry.by)
    return f"{style.moment(entry.at)}  {by}  {kind}{said}".rstrip()


def _of_work_or_chat(task: TaskData, style: Style) -> list[str]:
    """What is said of how it stands: attempts and gates mean nothing for a chat."""
    if task.chat is None:
        return [*key_lines(_state(task, style)), *key_lines(_wishes(task))]
    shown = {"Tags", "Exec", "Executor", "Model"}
    wishes = [pair for pair in _wishes(task) if pair[0] in shown]
    return [*stands_lines(task.chat, style), *key_lines(wishes)]


def _runs(task: TaskData, style: Style) -> tuple[str, list[str]]:
    if task.chat is None:
        return "Attempts", run_lines(task.runs, style)
    lines = run_lines(task.runs[-_HANDLERS:], style)
    cut = len(task.runs) - len(lines)
    return "Handlers", [f"… {cut} before these", *lines] if cut else lines


def _state(task: TaskData, style: Style) -> list[tuple[str, str | None]]:
    progress, failure = task.progress, task.failure
    return [
        ("Ready", "yes" if task.ready else None),
        ("Paused", "yes" if task.paused else None),
        ("Assigned", task.agent),
        ("Actor", task.actor),
        ("Reserved for", task.reserved_for),
        ("Trajectory", trajectory_words(task.trajectory)),
        ("Gate", task.gate),
        *_wait(task, style),
        ("Loop", task.loop.stands if task.loop else None),
        ("Attempts", f"{task.attempts} of {task.max_attempts}"),
        (
            "Progress",
            f"{progress.percent:g} %"
            + (f", {progress.message}" if progress.message else "")
            if progress
            else None,
        ),
        ("Reward", reward_words(task.reward)),
        ("Failure", f"{failure.class_}: {failure.reason}" if failure else None),
        ("Unread messages", _number(task.unread) if task.unread else None),
        ("Leftover processes", " ".join(map(str, task.leftover)) or None),
        ("Superseded by", task.superseded_by),
        ("Not before", style.moment(task.not_before) if task.not_before else None),
        ("Retry at", style.moment(task.retry_at) if task.retry_at else None),
    ]


def _wait(task: TaskData, style: Style) -> list[tuple[str, str | None]]:
    wait = task.wait
    if wait is None:
        return []
    return [
        ("Waits until", f"{wait.condition}, since {style.moment(wait.since)}"),
        ("Asks", wait.question),
    ]


def _wishes(task: TaskData) -> list[tuple[str, str | None]]:
    return [
        ("Priority", str(task.priority)),
        ("Tags", ", ".join(task.tags)),
        ("Skills", ", ".join(task.requires_skills)),
        ("Preferred skills", ", ".join(task.prefers_skills)),
        ("Complexity", task.complexity),
        ("Exec", task.exec),
        ("Executor", task.executor),
        ("Model", task.model),
        ("Endpoint", task.endpoint),
        ("Tools", ", ".join(task.tools)),
        ("Working dir", task.working_dir),
        ("Review", task.review),
        ("Retry on", task.retry_on),
        ("Timeout", _duration(task.timeout_s)),
        ("Stall timeout", _duration(task.stall_timeout_s)),
        ("Abandon after", _duration(task.abandon_after_s)),
        ("Independent", "yes" if task.independent else None),
        ("Estimate", _duration(task.estimate_s)),
        ("Budget tokens", _number(task.budget_tokens)),
        ("Budget USD", _number(task.budget_usd)),
        ("Context scope", task.context_scope),
    ]


def _history(task: TaskData, style: Style) -> list[tuple[str, str | None]]:
    return [
        ("Tokens", usage_text(task.usage, task.cached_tokens)),
        ("Cost", cost_of(task.usage)),
        ("Added by", task.added_by),
        ("Created", style.moment(task.created_at)),
        ("Claimed", style.moment(task.claimed_at) if task.claimed_at else None),
        ("Started", style.moment(task.started_at) if task.started_at else None),
        ("Completed", style.moment(task.completed_at) if task.completed_at else None),
    ]


def _titled(task: TaskData) -> str:
    title = escape_line(task.title)
    return f"(paused) {title}" if task.paused else title


def _edge(dependency: str, on: str) -> str:
    text = escape_line(dependency)
    return text if on == "done" else f"{text} ({on})"


def _stale(one: StaleInput) -> str:
    given, now = one.given[:12], one.now[:12]
    return escape_line(f"{one.producer}:{one.name}: {given} was given, {now} is there")


def _texts(texts: Sequence[str]) -> list[str]:
    return [escape_line(text) for text in texts]


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}" if value % 1 else f"{int(value)}"


def quote_argv(argv: Sequence[str]) -> str:
    """An argument vector as a shell would take it, on one line."""
    return escape_line(shlex.join(argv))
