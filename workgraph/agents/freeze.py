"""Freezing agents where they are, and letting them go on: STOP and CONT to whole trees.

The wrapper's group first, which is nearly always all of it. Then what has left the
group is looked for in `/proc`, as at the end of an agent, until all of it stands still:
what is stopped starts nothing more.
"""

import signal
from collections.abc import Sequence
from typing import Final

from workgraph.agents import kill, signs
from workgraph.agents.kill import Target

#: What goes on forking between two passes is met again in the next one.
_PASSES: Final = 10


def stop_trees(targets: Sequence[Target], boot_id: str) -> tuple[int, ...]:
    """Stops agents with all that they have started. Blocks for some milliseconds.

    Returns:
        Those that run.
    """
    running = _signal_groups(targets, boot_id, signal.SIGSTOP)
    for _ in range(_PASSES):
        awake = [
            process
            for found in kill.search(targets, boot_id).values()
            for process in found
            if (stat := signs.read_stat(process.pid))
            and stat.alive
            and not stat.stopped
        ]
        if not awake:
            break
        for process in awake:
            kill.send(process, signal.SIGSTOP)
    return running


def continue_trees(targets: Sequence[Target], boot_id: str) -> tuple[int, ...]:
    """Lets agents go on with all that they have started. Blocks as `stop_trees` does.

    Returns:
        Those that run.
    """
    running = _signal_groups(targets, boot_id, signal.SIGCONT)
    for found in kill.search(targets, boot_id).values():
        for process in found:
            stat = signs.read_stat(process.pid)
            if stat is not None and stat.stopped:
                kill.send(process, signal.SIGCONT)
    return running


def _signal_groups(
    targets: Sequence[Target], boot_id: str, number: int
) -> tuple[int, ...]:
    return tuple(
        target.agent
        for target in targets
        if target.process is not None
        and kill.signal_group(target.process, boot_id, number)
    )
