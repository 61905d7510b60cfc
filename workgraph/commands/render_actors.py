"""Roles, tradeoffs and actors as people read them: ids by their first digits."""

from collections.abc import Sequence

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import (
    Style,
    as_lines,
    block,
    key_lines,
    section,
    table,
)
from workgraph.graph import identity_requests as q
from workgraph.store.identities import SHOWN_DIGITS


def identity_text(request: q.IdentityRequest, data: object, style: Style) -> str:
    """What is said on standard output."""
    match request, data:
        case q.InitActors(), q.StartersData():
            return _starters(data)
        case _, q.RoleData() | q.TradeoffData() | q.ActorData():
            return _one(request, data, style)
        case _, tuple() | list():
            found = [one for one in data if isinstance(one, q.IdentityData)]
            if isinstance(request, q.Traces):
                return _lineage(found, style)
            if isinstance(request, q.ListActors):
                actors = [one for one in found if isinstance(one, q.ActorData)]
                return _actor_table(actors, style)
            return _role_table(found, style)
        case _:
            return ""


def _one(request: q.IdentityRequest, data: q.AnyIdentityData, style: Style) -> str:
    digits, name = data.id[:SHOWN_DIGITS], escape_line(data.name)
    match request:
        case q.AddRole() | q.AddTradeoff() | q.AddActor():
            return f"{digits}\n"
        case q.EditRole() | q.EditTradeoff() | q.EditActor():
            return f"{name}: {digits}\n"
        case q.RemoveRole() | q.RemoveTradeoff() | q.RemoveActor():
            return f"{name}: removed\n"
        case _:
            return _page(data, style)


def _page(data: q.AnyIdentityData, style: Style) -> str:
    lines = [f"ID: {data.id[:SHOWN_DIGITS]}", f"Name: {escape_line(data.name)}"]
    match data:
        case q.ActorData():
            lines += key_lines(_of_actor(data))
        case q.RoleData():
            lines += key_lines(
                [
                    ("Skills", ", ".join(data.skills)),
                    ("Actors", ", ".join(data.actors)),
                ]
            )
        case q.TradeoffData():
            lines += key_lines([("Actors", ", ".join(data.actors))])
    lines += key_lines(_history(data, style))
    match data:
        case q.RoleData():
            lines += section("Description", block(data.description))
            lines += section("Desired outcome", block(data.outcome))
        case q.TradeoffData():
            lines += section("Description", block(data.description))
            lines += section("Acceptable compromises", _texts(data.accept))
            lines += section("Hard constraints", _texts(data.reject))
        case _:
            pass
    return as_lines(lines)


def _of_actor(data: q.ActorData) -> list[tuple[str, str | None]]:
    cost = data.usd_per_hour
    return [
        ("Kind", "person" if data.human else "machine"),
        ("Role", _named(data.role_name, data.role)),
        ("Tradeoff", _named(data.tradeoff_name, data.tradeoff)),
        ("Skills", ", ".join(data.skills)),
        ("Trust", data.trust),
        ("Context limit", _number(data.context_limit, " tokens")),
        ("Capacity", _number(data.capacity, " at a time")),
        ("Executor", data.executor),
        ("Model", data.model),
        ("Cost", None if cost is None else f"{cost:g} USD per hour"),
    ]


def _history(data: q.IdentityData, style: Style) -> list[tuple[str, str | None]]:
    lineage, record = data.lineage, data.record
    parents = ", ".join(parent[:SHOWN_DIGITS] for parent in lineage.parents)
    retired = style.moment(data.retired_at) if data.retired_at else None
    return [
        ("Generation", str(lineage.generation) if lineage.generation else None),
        ("Made from", parents),
        ("Made by", lineage.by),
        ("Record", record_words(record) if record.count else None),
        ("Not in use since", retired),
    ]


def record_words(record: q.RecordData) -> str:
    """A record in a few words: `0.81 (0.74 to 0.88) of 23`."""
    if record.mean is None:
        return "-"
    text = f"{record.mean:.2f}"
    if record.low is not None and record.high is not None:
        text += f" ({record.low:.2f} to {record.high:.2f})"
    return f"{text} of {record.count}"


def _actor_table(actors: Sequence[q.ActorData], style: Style) -> str:
    return table(
        ("NAME", "ID", "KIND", "ROLE", "TRADEOFF", "TRUST", "RECORD", "SKILLS"),
        [
            (
                escape_line(one.name),
                one.id[:SHOWN_DIGITS],
                _state(one, "person" if one.human else "machine"),
                escape_line(one.role_name or "-"),
                escape_line(one.tradeoff_name or "-"),
                one.trust,
                record_words(one.record),
                escape_line(", ".join(one.skills)) or "-",
            )
            for one in actors
        ],
        style,
        words=-1,
    )


def _role_table(found: Sequence[q.IdentityData], style: Style) -> str:
    """Roles and tradeoffs, which have a description."""
    return table(
        ("NAME", "ID", "RECORD", "ACTORS", "DESCRIPTION"),
        [
            (
                escape_line(one.name),
                one.id[:SHOWN_DIGITS],
                _state(one, record_words(one.record)),
                escape_line(", ".join(one.actors)) or "-",
                escape_line(" ".join(one.description.split())),
            )
            for one in found
            if isinstance(one, q.RoleData | q.TradeoffData)
        ],
        style,
        words=-1,
    )


def _lineage(found: Sequence[q.IdentityData], style: Style) -> str:
    return table(
        ("ID", "GENERATION", "BY", "MADE FROM", "SINCE", "NAME"),
        [
            (
                one.id[:SHOWN_DIGITS],
                str(one.lineage.generation),
                escape_line(one.lineage.by),
                ",".join(parent[:SHOWN_DIGITS] for parent in one.lineage.parents)
                or "-",
                f"retired {style.moment(one.retired_at)}"
                if one.retired_at
                else "in use",
                escape_line(one.name),
            )
            for one in found
        ],
        style,
        words=-1,
    )


def _starters(data: q.StartersData) -> str:
    added = [
        f"{kind} {escape_line(one.name)}: {one.id[:SHOWN_DIGITS]}"
        for kind, found in (
            ("role", data.roles),
            ("tradeoff", data.tradeoffs),
            ("actor", data.actors),
        )
        for one in found
    ]
    return as_lines(added or ["all starters are there already"])


def _state(one: q.IdentityData, otherwise: str) -> str:
    return "retired" if one.retired_at else otherwise


def _named(name: str | None, id_: str | None) -> str | None:
    if id_ is None:
        return None
    return f"{name} ({id_[:SHOWN_DIGITS]})" if name else id_[:SHOWN_DIGITS]


def _number(value: int | None, unit: str) -> str | None:
    return None if value is None else f"{value}{unit}"


def _texts(texts: Sequence[str]) -> list[str]:
    return [escape_line(text) for text in texts]
