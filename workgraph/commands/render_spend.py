"""What work has cost, as a table with a line for all of it."""

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, table
from workgraph.graph.replies import SpendData, SpendRow


def spend_table(data: SpendData, style: Style) -> str:
    """A line for each key, and the total."""
    rows = [_cells(row, escape_line(row.key or "-")) for row in data.rows]
    heads = (
        "FOR",
        "AGENTS",
        "INPUT",
        "CACHED",
        "OUTPUT",
        "USD",
        "",
    )
    return table(heads, [*rows, _cells(data.total, "total")], style, words=-1)


def _cells(row: SpendRow, key: str) -> tuple[str, ...]:
    cost = "-" if row.cost_usd is None else f"{row.cost_usd:.4f}"
    unknown = f"{row.unknown_cost} of unknown cost" if row.unknown_cost else ""
    return (
        key,
        str(row.agents),
        str(row.input_tokens),
        str(row.cached_tokens),
        str(row.output_tokens),
        cost,
        unknown,
    )
