"""Trajectories as people read them."""

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, as_lines, table
from workgraph.graph.reservations import ReservedData, TrajectoryData


def trajectory_table(data: TrajectoryData, style: Style) -> str:
    """A line that sums it up, then a row for each step."""
    whose = f" for {escape_line(data.actor)}" if data.actor else ""
    head = f"trajectory{whose}"
    if data.number is not None:
        head = f"trajectory {data.number} is reserved{whose}"
    count = len(data.steps)
    sums = f"{count} step{'' if count == 1 else 's'}, {data.tokens} of {data.limit}"
    rows = [
        (
            str(place),
            escape_line(step.task),
            str(step.tokens),
            escape_line(", ".join(step.receives)) or "-",
            escape_line(", ".join(step.shares)) or "-",
        )
        for place, step in enumerate(data.steps, start=1)
    ]
    columns = ("STEP", "TASK", "TOKENS", "RECEIVES", "SHARES")
    return as_lines([f"{head}: {sums} tokens"]) + table(columns, rows, style, words=-1)


def trajectory_words(reserved: ReservedData | None) -> str | None:
    """The trajectory that a task is in, on one line."""
    if reserved is None:
        return None
    whose = f", for {reserved.actor}" if reserved.actor else ""
    return f"{reserved.number} (step {reserved.step} of {reserved.steps}{whose})"
