"""Executors, and how a trial of one went, as people read it."""

from collections.abc import Sequence

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, as_lines, key_lines, table
from workgraph.commands.render_usage import cost_of, usage_text
from workgraph.graph.replies import ExecutorData, TrialData


def executor_table(executors: Sequence[ExecutorData], style: Style) -> str:
    """A line for each executor, and one for each of its problems."""
    rows = table(
        ("NAME", "FROM", "STREAM", "ACCOUNT", "RESUMES", "LOGIN", "PROGRAM"),
        [
            (
                escape_line(one.name) + ("*" if one.default else ""),
                one.source + ("+settings" if _is_changed(one) else ""),
                one.stream or "-",
                escape_line(one.account or "-"),
                "yes" if one.can_resume else "no",
                one.credentials.replace(" ", "-"),
                escape_line(one.path or f"{one.program or one.name}: not there"),
            )
            for one in executors
        ],
        style,
        words=-1,
    )
    problems = [
        escape_line(f"{one.name}: {problem}")
        for one in executors
        for problem in one.problems
    ]
    return rows + as_lines(problems)


def trial_page(trial: TrialData) -> str:
    """`Key: value` lines of a trial that went well."""
    pairs: list[tuple[str, str | None]] = [
        ("Executor", trial.executor),
        ("Program", trial.program),
        ("Version", trial.version),
        ("Account", trial.account),
        ("Model", trial.model),
        ("Endpoint", trial.endpoint),
        ("Ended", f"{trial.outcome}: {trial.message}"),
        ("Seconds", f"{trial.seconds:g}"),
        ("Tokens", usage_text(trial.usage, trial.cached_tokens)),
        ("Cost", cost_of(trial.usage)),
        ("Said", trial.said),
    ]
    return as_lines(key_lines(pairs))


def _is_changed(executor: ExecutorData) -> bool:
    return executor.configured and executor.source != "settings"
