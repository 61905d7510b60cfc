"""What a run has used, as people read it."""

from workgraph.graph.replies import UsageData


def tokens_of(usage: UsageData) -> str | None:
    """All tokens but the cached ones; null where nothing is known of them."""
    known = [n for n in (usage.input_tokens, usage.output_tokens) if n is not None]
    return str(sum(known)) if known else None


def usage_text(usage: UsageData, cached: int | None) -> str | None:
    """The tokens one by one: what went in, what of it was cached besides, what came."""
    parts = [
        f"{count} {word}"
        for count, word in (
            (usage.input_tokens, "in"),
            (cached, "cached"),
            (usage.output_tokens, "out"),
        )
        if count is not None
    ]
    return ", ".join(parts) or None


def cost_of(usage: UsageData) -> str | None:
    """Dollars; null where that is not known."""
    return None if usage.cost_usd is None else f"${usage.cost_usd:.2f}"
