"""The prompt of an attempt: what the agent is told about its task.

Text that comes from tasks is data: it stands in marked blocks and nothing in it is
expanded.
"""

from typing import Final

from workgraph.graph.model import Task

RULES: Final = """\
You are an agent of workgraph and work on one task. When it is done, say
`wg done --summary "what you found and made"`; when it can't be done, say
`wg fail --reason "why"`. `wg log "..."` leaves a note, `wg progress PERCENT` says how
far you are, `wg artifact PATH` records a file that others need.
"""
GOES_ON: Final = """\
You have worked on this task in this conversation already, and were interrupted. Go on
from where you are: what is done need not be done again. What is said of the task below
may have changed since.
"""


def compose_prompt(task: Task, preamble: str = "", *, goes_on: bool = False) -> str:
    """The prompt for a task. Pure, and the same to the byte for the same task.

    Args:
        preamble: The executor's own, put before everything else.
        goes_on: It is said in a conversation that an earlier attempt has begun.
    """
    spec = task.spec
    parts = [f"{preamble.rstrip()}\n"] if preamble.strip() else []
    if goes_on:
        parts.append(GOES_ON)
    parts += [RULES, _block("task", f"{task.id}: {spec.title}")]
    if spec.description:
        parts.append(_block("description", spec.description))
    if spec.prompt:
        parts.append(_block("prompt", spec.prompt))
    if spec.inputs:
        parts.append(_block("inputs", "\n".join(spec.inputs)))
    if spec.outputs:
        parts.append(_block("promised outputs", "\n".join(spec.outputs)))
    if task.failure is not None:
        told = f"attempt {task.attempts} ({task.failure.class_}): {task.failure.reason}"
        parts.append(_block("what became of the last attempt", told))
    return "\n".join(parts)


def _block(name: str, text: str) -> str:
    """A marked block; a line in it that looks like a mark is set off."""
    lines = "\n".join(
        f" {line}" if line.startswith("=====") else line for line in text.split("\n")
    )
    return f"===== {name}\n{lines}\n===== end of {name}\n"
