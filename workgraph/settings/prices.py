"""What tokens cost, where the client does not say: the table of prices in the settings.

Nothing is guessed: where a price that is needed is not there, the cost is not known.
"""

from fnmatch import fnmatchcase
from typing import Final

from workgraph.graph.model import Usage
from workgraph.settings.schema import PriceSettings, Settings

#: Prices are for so many tokens.
_MILLION: Final = 1_000_000


def price(usage: Usage, model: str | None, settings: Settings) -> float | None:
    """What this use of a model costs in dollars; null is not known. Pure."""
    table = None if model is None else price_of(model, settings)
    if table is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    total = 0.0
    for tokens, each in (
        (usage.input_tokens, table.input),
        (usage.cached_tokens or 0, table.cached),
        (usage.output_tokens, table.output),
    ):
        if tokens and each is None:
            return None
        total += tokens * (each or 0.0) / _MILLION
    return total


def price_of(model: str, settings: Settings) -> PriceSettings | None:
    """The prices of a model: its own name's, else those of the longest glob."""
    found = [glob for glob in settings.prices if fnmatchcase(model, glob)]
    if model in settings.prices:
        return settings.prices[model]
    if not found:
        return None
    return settings.prices[max(found, key=lambda glob: (len(glob), glob))]
