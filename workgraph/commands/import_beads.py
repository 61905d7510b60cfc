"""Takes in the issues of beads."""

from workgraph.commands import transfer
from workgraph.commands.beads import Beads
from workgraph.commands.beads_issue import Place
from workgraph.commands.context import Context
from workgraph.graph.model import Actor
from workgraph.graph.replies import Reply
from workgraph.store import identities
from workgraph.store import transfer as stored


def import_beads(context: Context, text: str) -> Reply:
    """Takes them in, in the transaction: all of them or, raising, nothing.

    Raises:
        UserError: A line can't come in; it is named.
        ConflictError: An id is taken.
    """
    tx = context.tx
    names = {one.identity.name for one in identities.every(tx, Actor)}
    place = Place(now=tx.now, actors=names, importer=context.caller.by)
    issues = Beads(text, place)
    known = stored.known_tasks(tx, issues.references())
    return transfer.take_in(context, issues.lines(known), issues.warnings)
