"""Takes in a file of the predecessor, and the histories of chats beside it."""

from collections.abc import Mapping, Sequence

from workgraph.commands import transfer, wg_rs_chats
from workgraph.commands.context import Context
from workgraph.commands.wg_rs import ORIGIN, Predecessor
from workgraph.graph.replies import Reply
from workgraph.store import legacy_chats
from workgraph.store import transfer as stored


def import_wg_rs(context: Context, text: str, files: Mapping[str, str]) -> Reply:
    """Takes it in, in the transaction: all of it or, raising, nothing.

    Nothing is started by it: whatever was said and not answered is set aside.

    Args:
        context: The transaction, and who asks.
        text: The file.
        files: What stands beside it, by the paths from its folder.

    Raises:
        UserError: A line can't come in; it is named.
        ConflictError: An id is taken.
    """
    tx = context.tx
    old = Predecessor(text, tx.now)
    known = stored.known_tasks(tx, old.references())
    came_in = legacy_chats.by_origin(tx, ORIGIN)

    def fill(adopted: Sequence[legacy_chats.Adopted]) -> list[str]:
        """Writes the histories; gives what is to be said of them."""
        said: list[str] = []
        filled: set[int] = set()
        # Where two have the same number, the one of the newer name has its history.
        for one in sorted(adopted, key=lambda one: not one.old.startswith(".chat-")):
            number = wg_rs_chats.number_of(old.name_there(one.old))
            if number is None or number in filled:
                continue
            filled.add(number)
            history, notes = wg_rs_chats.read_history(number, files)
            said += notes
            legacy_chats.insert_history(tx, one.number, history)
        return said

    return transfer.take_in(context, old.lines(known, came_in), old.warnings, fill)
