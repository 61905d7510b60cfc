"""Proposals as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, as_lines, block, table
from workgraph.graph.proposals import (
    EvolutionData,
    Evolve,
    ListProposals,
    ProposalCommand,
    ProposalData,
    ReviewProposal,
    ShowProposal,
)


def evolve_text(request: ProposalCommand, data: Any, style: Style) -> str:  # noqa: ANN401 - one shape for each request
    """What a request about proposals is answered with."""
    match request:
        case Evolve():
            return _run_lines(data, style)
        case ListProposals():
            return _table(data, style)
        case ShowProposal():
            return _page(data, style)
        case ReviewProposal():
            if isinstance(data, ProposalData):
                words = f": {data.result}" if data.result else ""
                line = f"{data.id} {data.status}: {_what(data)}{words}"
                return as_lines([escape_line(line)])
            return _table(data, style)


def _run_lines(data: EvolutionData, style: Style) -> str:
    if not data.proposals and data.errand is None:
        return "the record asks for no change\n"
    text = _table(data.proposals, style)
    if data.errand is not None:
        text += as_lines([f"{data.errand} is to propose more"])
    return text


def _table(proposals: Sequence[ProposalData], style: Style) -> str:
    rows = [
        (
            "-" if one.id is None else str(one.id),
            one.status,
            one.kind,
            escape_line(one.subject),
            escape_line(one.child or "-"),
            escape_line(one.result or one.reason),
        )
        for one in proposals
    ]
    heads = ("ID", "STATUS", "KIND", "ACTOR", "CHANGED", "WHY")
    return table(heads, rows, style, words=1)


def _what(one: ProposalData) -> str:
    """What is proposed, on one line."""
    if one.kind == "retire":
        return f"retire {one.subject}"
    return f"{one.kind} of {one.subject}" + (f" as {one.child}" if one.child else "")


def _page(one: ProposalData, style: Style) -> str:
    lines = [escape_line(f"{one.id}: {_what(one)}, {one.status}")]
    rows: list[tuple[str, str | None]] = [
        ("why", one.reason),
        ("by", one.by),
        ("made", style.moment(one.created_at)),
        ("trial since", one.started_at and style.moment(one.started_at)),
        ("share", None if one.share is None else f"{one.share:.0%}"),
        ("ended", one.ended_at and style.moment(one.ended_at)),
        ("approved by", one.approved_by),
        ("result", one.result),
    ]
    lines += [f"{name}: {escape_line(text)}" for name, text in rows if text]
    for name, value in msgspec.to_builtins(one.change).items():
        lines.append(f"{name} becomes:")
        texts = [value] if isinstance(value, str) else value
        lines += [f"  | {line}" for text in texts for line in block(text)]
    for look in one.looks:
        lines.append(
            f"look {look.number}, {style.moment(look.at)}:"
            f" {look.child_mean:.2f} over {look.child_count} against"
            f" {look.parent_mean:.2f} over {look.parent_count},"
            f" better with {look.probability:.1%}"
        )
    lines += [f"evidence: {line}" for line in _evidence(one.evidence)]
    return as_lines(lines)


def _evidence(evidence: Mapping[str, Any]) -> list[str]:
    return [
        escape_line(f"{name} {msgspec.json.encode(value).decode()}")
        for name, value in evidence.items()
    ]
