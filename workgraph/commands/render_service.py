"""The daemon, plans, settings, output and findings as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workgraph.commands.escape import escape_block, escape_line
from workgraph.commands.render_chats import all_chats_line, held_lines
from workgraph.commands.render_style import Style, as_lines, key_lines, section
from workgraph.commands.render_task import quote_argv
from workgraph.graph.replies import (
    FindingData,
    ImportedData,
    KilledData,
    OutputData,
    ServiceData,
    SettingData,
)


def service_page(service: ServiceData, style: Style) -> str:
    """`Key: value` lines about the daemon."""
    pairs: list[tuple[str, str | None]] = [
        ("Running", "yes" if service.running else "no"),
        ("Pid", str(service.pid) if service.pid is not None else None),
        ("Since", style.moment(service.since) if service.since else None),
        ("Version", service.version),
        ("Socket", service.socket),
        ("Paused", "yes" if service.paused else None),
        ("Frozen", "yes" if service.frozen else None),
        ("Draining", "yes" if service.draining else None),
    ]
    if service.running:
        pairs += [
            ("Agents", f"{service.agents} of {service.max_agents}"),
            ("Ready", str(service.ready)),
        ]
    tasks = ", ".join(f"{count} {status}" for status, count in service.counts.items())
    pairs += [("Tasks", tasks), ("Chats", all_chats_line(service.chats))]
    ill = [one for one in service.reactors if not one.ok]
    return as_lines(
        [
            *key_lines(pairs),
            *(escape_line(f"Reactor {one.name}: {one.error}") for one in ill),
            *(escape_line(_provider(one)) for one in service.providers),
            *held_lines(service.chats.backing_off, style),
        ]
    )


def plan_page(plan: Mapping[str, Any]) -> str:
    """Each value of a plan with its source.

    Args:
        plan: The plan in built-in types, each value `{"value", "source"}`.
    """
    lines = []
    for key, chosen in plan.items():
        if key in {"env", "problems"}:
            continue
        if isinstance(chosen, Mapping) and "value" in chosen:
            source = escape_line(str(chosen.get("source") or "-"))
            lines.append(f"{key}: {_plan_value(chosen['value'])}  ({source})")
        else:
            lines.append(f"{key}: {_plan_value(chosen)}")
    environment = [
        escape_line(f"{name}={chosen['value']}  ({chosen['source']})")
        for name, chosen in (plan.get("env") or {}).items()
    ]
    problems = [
        escape_line(one if isinstance(one, str) else setting_value(one))
        for one in plan.get("problems") or ()
    ]
    return as_lines(
        [*lines, *section("env", environment), *section("problems", problems)]
    )


def findings_lines(findings: Sequence[FindingData]) -> str:
    """One line for each finding, with its remedy."""
    return as_lines(
        [
            escape_line(
                f"{one.code}: "
                + (f"{one.task}: " if one.task not in one.message else "")
                + one.message
                + (f" → {one.remedy}" if one.remedy else "")
            )
            for one in findings
        ]
    )


def killed_lines(killed: Sequence[KilledData], style: Style) -> str:
    """What became of each agent and its task."""
    lines = []
    for one in killed:
        state = style.word(one.status) + (" (paused)" if one.paused else "")
        pids = ", ".join(map(str, one.leftover))
        left = f"; left over: {pids}" if pids else ""
        lines.append(f"{one.agent}: ended; {escape_line(one.task)}: {state}{left}")
    return as_lines(lines)


def imported_lines(imported: ImportedData) -> str:
    """What an import brought; its warnings are notes."""
    counted = ", ".join(
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in (
            (imported.tasks, "task"),
            (imported.edges, "edge"),
            (imported.actors, "actor"),
        )
        if count or name == "task"
    )
    return as_lines([f"imported {counted}"])


def output_text(output: OutputData, *, raw: bool) -> str:
    """What an agent has written; nothing of it is escaped with `raw`."""
    if raw:
        return output.output + (output.stderr or "")
    text = _whole_lines(escape_block(output.output))
    if output.stderr:
        text += "--- stderr ---\n" + _whole_lines(escape_block(output.stderr))
    return text


def setting_lines(settings: Sequence[SettingData], *, origin: bool) -> str:
    """`key = value` lines as in a file of settings; the origin as a comment."""
    lines = []
    for one in settings:
        comment = ""
        if origin:
            comment = "  # " + " ".join(part for part in (one.origin, one.file) if part)
        value = msgspec.json.encode(one.value).decode()
        lines.append(escape_line(f"{one.key} = {value}{comment}"))
    return as_lines(lines)


def setting_value(value: object) -> str:
    """A value as it is: a text without quotes, anything else as JSON."""
    if isinstance(value, str):
        return escape_line(value)
    return escape_line(msgspec.json.encode(value).decode())


def _plan_value(value: object) -> str:
    match value:
        case None:
            return "none"
        case list() | tuple():
            return quote_argv([str(part) for part in value])
        case _:
            return setting_value(value)


def _provider(provider: object) -> str:
    told = msgspec.to_builtins(provider)
    until = f" until {told.get('until')}" if told.get("until") else ""
    why = f": {told.get('reason')}" if told.get("reason") else ""
    return f"Provider {told.get('account')}: {told.get('state')}{until}{why}"


def _whole_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
