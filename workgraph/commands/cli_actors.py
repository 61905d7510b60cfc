"""Commands of roles, tradeoffs and actors (CONTRACT §6)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer
from msgspec import UNSET, UnsetType

from workgraph.commands import cli_rewards
from workgraph.commands.cli_call import WgCommand, new_app, the_call
from workgraph.commands.cli_options import texts_or_unset
from workgraph.graph import identity_requests as q
from workgraph.graph.model import Trust

Which = Annotated[
    str, typer.Argument(metavar="NAME", help="Its name, or the beginning of its id.")
]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
Rename = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Call it so.")
]
Text = str | None
Texts = list[str] | None
Description = Annotated[
    str,
    typer.Option("-d", "--description", metavar="TEXT", help="In words; - reads it."),
]
NewDescription = Annotated[
    Text,
    typer.Option("-d", "--description", metavar="TEXT", help="In words; - reads it."),
]
Outcome = Annotated[
    Text, typer.Option("--outcome", metavar="TEXT", help="What shall come of it.")
]
Skill = Annotated[Texts, typer.Option("--skill", metavar="S", help="A skill.")]
AddSkill = Annotated[
    Texts, typer.Option("--add-skill", metavar="S", help="One skill more.")
]
RemoveSkill = Annotated[
    Texts, typer.Option("--remove-skill", metavar="S", help="One skill less.")
]
Accept = Annotated[
    Texts,
    typer.Option("--accept", metavar="TEXT", help="A compromise that it may make."),
]
Reject = Annotated[
    Texts, typer.Option("--reject", metavar="TEXT", help="What it never does.")
]
AllOption = Annotated[
    bool, typer.Option("--all", help="With those that are not in use any more.")
]
RoleOption = Annotated[
    Text, typer.Option("--role", metavar="ROLE", help="What it does.")
]
TradeoffOption = Annotated[
    Text, typer.Option("--tradeoff", metavar="TRADEOFF", help="How it decides.")
]
TrustOption = Annotated[
    Trust | None,
    typer.Option("--trust", help="How far it is trusted with what is hard."),
]
ContextLimit = Annotated[
    int | None,
    typer.Option("--context-limit", metavar="N", help="Tokens that it can take in."),
]
Capacity = Annotated[
    int | None,
    typer.Option("--capacity", metavar="N", help="Tasks that it works on at a time."),
]
Executor = Annotated[
    Text, typer.Option("--executor", metavar="NAME", help="What kind of agent it is.")
]
Model = Annotated[
    Text, typer.Option("--model", metavar="SPEC", help="The model that it uses.")
]
Cost = Annotated[
    float | None,
    typer.Option("--usd-per-hour", metavar="X", help="What an hour of it costs."),
]


class ActorCommand(WgCommand):
    """A command with numbers and choices that an empty text takes away."""

    not_texts: Mapping[str, str] = MappingProxyType(
        {
            f"--{name.replace('_', '-')}": name
            for name in ("trust", "context_limit", "capacity", "usd_per_hour")
        }
    )


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    role = new_app("role", "Roles: what actors do.")
    role.command("add", cls=WgCommand)(_add_role)
    role.command("edit", cls=WgCommand)(_edit_role)
    role.command("list", cls=WgCommand)(_list_roles)
    role.command("show", cls=WgCommand)(_show_role)
    role.command("rm", cls=WgCommand)(_remove_role)
    role.command("lineage", cls=WgCommand)(_trace_role)
    app.add_typer(role)
    tradeoff = new_app("tradeoff", "Tradeoffs: how actors decide.")
    tradeoff.command("add", cls=WgCommand)(_add_tradeoff)
    tradeoff.command("edit", cls=WgCommand)(_edit_tradeoff)
    tradeoff.command("list", cls=WgCommand)(_list_tradeoffs)
    tradeoff.command("show", cls=WgCommand)(_show_tradeoff)
    tradeoff.command("rm", cls=WgCommand)(_remove_tradeoff)
    tradeoff.command("lineage", cls=WgCommand)(_trace_tradeoff)
    app.add_typer(tradeoff)
    actor = new_app("actor", "Actors: who can do work.")
    actor.command("add", cls=ActorCommand)(_add_actor)
    actor.command("edit", cls=ActorCommand)(_edit_actor)
    actor.command("list", cls=WgCommand)(_list_actors)
    actor.command("show", cls=WgCommand)(_show_actor)
    actor.command("rm", cls=WgCommand)(_remove_actor)
    actor.command("lineage", cls=WgCommand)(_trace_actor)
    actor.command("init", cls=WgCommand)(_init_actors)
    cli_rewards.register_stats(actor)
    app.add_typer(actor)


def _add_role(
    name: NewName,
    description: Description,
    outcome: Outcome = None,
    skill: Skill = None,
) -> q.AddRole:
    """Add a role, or the next version of one; print its id."""
    return q.AddRole(
        name=name,
        description=description,
        outcome=outcome or "",
        skill=tuple(skill or ()),
    )


def _edit_role(
    which: Which,
    *,
    name: Rename = None,
    description: NewDescription = None,
    outcome: Outcome = None,
    skill: Skill = None,
    add_skill: AddSkill = None,
    remove_skill: RemoveSkill = None,
) -> q.EditRole:
    """Make the next version of a role; its name alone changes in place."""
    return q.EditRole(
        role=which,
        name=_given(name),
        description=_given(description),
        outcome=_given(outcome),
        skill=texts_or_unset(skill),
        add_skill=tuple(add_skill or ()),
        remove_skill=tuple(remove_skill or ()),
    )


def _list_roles(all: AllOption = False) -> q.ListRoles:
    """List the roles."""
    return q.ListRoles(all=all)


def _show_role(which: Which) -> q.ShowRole:
    """Show everything about a role."""
    return q.ShowRole(role=which)


def _remove_role(which: Which) -> q.RemoveRole:
    """Take a role out of use; refused while an actor has it."""
    return q.RemoveRole(role=which)


def _trace_role(which: Which) -> q.TraceRole:
    """Show what a role was made from, the latest first."""
    return q.TraceRole(role=which)


def _add_tradeoff(
    name: NewName,
    description: Description,
    accept: Accept = None,
    reject: Reject = None,
) -> q.AddTradeoff:
    """Add a tradeoff, or the next version of one; print its id."""
    return q.AddTradeoff(
        name=name,
        description=description,
        accept=tuple(accept or ()),
        reject=tuple(reject or ()),
    )


def _edit_tradeoff(
    which: Which,
    *,
    name: Rename = None,
    description: NewDescription = None,
    accept: Accept = None,
    reject: Reject = None,
    add_accept: Annotated[
        Texts, typer.Option("--add-accept", metavar="TEXT", help="One more.")
    ] = None,
    remove_accept: Annotated[
        Texts, typer.Option("--remove-accept", metavar="TEXT", help="One less.")
    ] = None,
    add_reject: Annotated[
        Texts, typer.Option("--add-reject", metavar="TEXT", help="One more.")
    ] = None,
    remove_reject: Annotated[
        Texts, typer.Option("--remove-reject", metavar="TEXT", help="One less.")
    ] = None,
) -> q.EditTradeoff:
    """Make the next version of a tradeoff; its name alone changes in place."""
    return q.EditTradeoff(
        tradeoff=which,
        name=_given(name),
        description=_given(description),
        accept=texts_or_unset(accept),
        reject=texts_or_unset(reject),
        add_accept=tuple(add_accept or ()),
        remove_accept=tuple(remove_accept or ()),
        add_reject=tuple(add_reject or ()),
        remove_reject=tuple(remove_reject or ()),
    )


def _list_tradeoffs(all: AllOption = False) -> q.ListTradeoffs:
    """List the tradeoffs."""
    return q.ListTradeoffs(all=all)


def _show_tradeoff(which: Which) -> q.ShowTradeoff:
    """Show everything about a tradeoff."""
    return q.ShowTradeoff(tradeoff=which)


def _remove_tradeoff(which: Which) -> q.RemoveTradeoff:
    """Take a tradeoff out of use; refused while an actor has it."""
    return q.RemoveTradeoff(tradeoff=which)


def _trace_tradeoff(which: Which) -> q.TraceTradeoff:
    """Show what a tradeoff was made from, the latest first."""
    return q.TraceTradeoff(tradeoff=which)


def _add_actor(
    ctx: typer.Context,
    name: NewName,
    *,
    human: Annotated[bool, typer.Option("--human", help="It is a person.")] = False,
    role: RoleOption = None,
    tradeoff: TradeoffOption = None,
    skill: Skill = None,
    trust: TrustOption = None,
    context_limit: ContextLimit = None,
    capacity: Capacity = None,
    executor: Executor = None,
    model: Model = None,
    usd_per_hour: Cost = None,
) -> q.AddActor:
    """Add an actor; print its id. Without --skill it has the skills of its role."""
    return q.AddActor(
        name=name,
        human=human,
        role=_given(role),
        tradeoff=_given(tradeoff),
        skill=texts_or_unset(skill),
        executor=_given(executor),
        model=_given(model),
        **_numbers(
            ctx,
            trust=trust,
            context_limit=context_limit,
            capacity=capacity,
            usd_per_hour=usd_per_hour,
        ),
    )


def _edit_actor(
    ctx: typer.Context,
    which: Which,
    *,
    name: Rename = None,
    human: Annotated[
        bool | None,
        typer.Option("--human/--no-human", show_default=False, help="It is a person."),
    ] = None,
    role: RoleOption = None,
    tradeoff: TradeoffOption = None,
    skill: Skill = None,
    add_skill: AddSkill = None,
    remove_skill: RemoveSkill = None,
    trust: TrustOption = None,
    context_limit: ContextLimit = None,
    capacity: Capacity = None,
    executor: Executor = None,
    model: Model = None,
    usd_per_hour: Cost = None,
) -> q.EditActor:
    """Change an actor; an empty text takes a value away."""
    return q.EditActor(
        actor=which,
        name=_given(name),
        human=UNSET if human is None else human,
        role=_given(role),
        tradeoff=_given(tradeoff),
        skill=texts_or_unset(skill),
        add_skill=tuple(add_skill or ()),
        remove_skill=tuple(remove_skill or ()),
        executor=_given(executor),
        model=_given(model),
        **_numbers(
            ctx,
            trust=trust,
            context_limit=context_limit,
            capacity=capacity,
            usd_per_hour=usd_per_hour,
        ),
    )


def _list_actors(all: AllOption = False) -> q.ListActors:
    """List the actors."""
    return q.ListActors(all=all)


def _show_actor(which: Which) -> q.ShowActor:
    """Show everything about an actor."""
    return q.ShowActor(actor=which)


def _remove_actor(which: Which) -> q.RemoveActor:
    """Take an actor out of use; refused while it holds a task."""
    return q.RemoveActor(actor=which)


def _trace_actor(which: Which) -> q.TraceActor:
    """Show what an actor was made from, the latest first."""
    return q.TraceActor(actor=which)


def _init_actors() -> q.InitActors:
    """Add roles, tradeoffs and actors to begin with; overwrites nothing."""
    return q.InitActors()


def _given(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text


def _numbers(ctx: typer.Context, **values: object) -> dict[str, Any]:
    """Those that were given; null for those that an empty text takes away."""
    given = {name: value for name, value in values.items() if value is not None}
    return the_call(ctx).fields | given
