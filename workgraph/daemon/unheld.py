"""`python -m workgraph.daemon.unheld WG_DIR`: fails while a daemon holds the project.

The socket unit asks it before it binds: systemd would take the socket's name away from
a daemon that was started by hand.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

import anyio

from workgraph.commands.render import render_error
from workgraph.daemon.lock import ProjectLock
from workgraph.graph.errors import UserError, WorkgraphError

#: How long a daemon may take to go: one that has just been told to.
_LEAVES_S: Final = 1.0


async def check_unheld(wg_dir: str) -> None:
    """Returns when no daemon holds the project; another `wg` is none.

    Raises:
        UserError: One does, and keeps it.
    """
    guard = ProjectLock(wg_dir)
    with anyio.move_on_after(_LEAVES_S):
        while (holder := guard.holder()) is not None and holder.role == "wgd":
            await guard.wait_released_by(holder)
        return
    who = f" (pid {holder.pid})" if holder and holder.pid else ""
    raise UserError(
        f"a daemon{who} that systemd did not start holds {wg_dir} and listens there",
        hint="`wg service restart` hands the project over to systemd",
    )


def main(argv: Sequence[str]) -> int:
    """The exit status; the words go to the journal."""
    try:
        anyio.run(check_unheld, argv[0])
    except WorkgraphError as error:
        sys.stderr.write(render_error(error, json=False, prog="wgd"))
        return error.exit_code
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
