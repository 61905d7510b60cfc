"""The actors that `[agency]` names for the machinery: whether they are there."""

from collections.abc import Iterator
from typing import Final

from workgraph.commands.context import Context
from workgraph.graph.replies import FindingData
from workgraph.store import service

_KEYS: Final = ("assigner", "evaluator", "evolver")


def check_officials(context: Context) -> Iterator[FindingData]:
    """A finding for each that names nobody to whom anything could be sent."""
    for key in _KEYS:
        name = getattr(context.settings.agency, key)
        if not name:
            continue
        actor = service.actor_by_name(context.tx, name)
        if actor is not None and not actor.human:
            continue
        what = "no actor of that name is there" if actor is None else "it is a person"
        yield FindingData(
            code="no_such_actor",
            task="",
            message=f"agency.{key} is {name}, and {what}: nothing is sent there",
            remedy=f"wg actor add {name}, or wg config set agency.{key} NAME",
        )
