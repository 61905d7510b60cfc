"""What an agent is told, as people read it: the text, or block by block."""

from workgraph.commands.escape import escape_block, escape_line
from workgraph.commands.render_style import Style, as_lines, table
from workgraph.graph.prompt_requests import ContextData, GetContext


def context_page(request: GetContext, data: ContextData, style: Style) -> str:
    """The text as it is, or a line for each of its blocks, with their sum."""
    if not request.explain:
        return escape_block(data.text or "")
    rows = table(
        ("BLOCK", "TOKENS", "CUT", "SHA256", "SOURCE"),
        [
            (
                escape_line(one.name),
                str(one.tokens),
                f"of {one.whole}" if one.cut else "-",
                one.sha256[:12],
                escape_line(one.source),
            )
            for one in data.blocks
        ],
        style,
        words=-1,
    )
    return rows + as_lines([f"{data.tokens} tokens, limit {data.limit}"])
