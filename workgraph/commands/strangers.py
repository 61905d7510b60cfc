"""What is said of a name that is no actor's: it is good for a person, or a slip."""

from typing import Final

from msgspec.structs import replace

from workgraph.commands.context import Answer, Context
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.replies import Reply
from workgraph.graph.reservations import ClaimTrajectory
from workgraph.store import identities

#: Whoever is named by these gets something, without being asked.
_GIVES: Final = (AssignTask, r.AddTask, r.EditTask, ClaimTrajectory)
#: Here people say their own names, again and again.
_TAKES: Final = (r.ClaimTask,)


def tell_of_stranger(context: Context, request: r.AnyRequest, answer: Answer) -> Answer:
    """An answer, and a note where whoever is named in the request is no actor.

    The rule stays as it is: any name is good for a person, and no actor is made of it.
    Where people say their own names it is told only if it looks like a slip.
    """
    if not isinstance(answer, Reply) or not isinstance(request, (*_GIVES, *_TAKES)):
        return answer
    near = identities.near_actors(context.tx, request.actor) if request.actor else None
    if near is None or not (near or isinstance(request, _GIVES)):
        return answer
    slip = f": did you mean {' or '.join(near)}?" if near else ""
    note = f"{request.actor} is no actor, so a person is meant{slip}"
    return replace(answer, notes=(*answer.notes, note))
