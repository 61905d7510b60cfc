"""The prompt of an attempt: what the agent is told about its task, within its limit.

Pure, and the same to the byte for the same view. Text that comes from tasks is data: it
stands in marked blocks and nothing in it is expanded.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from workgraph.agents.blocks import (
    Block,
    Item,
    Part,
    Ready,
    piece_of,
)
from workgraph.agents.choices import PlanError
from workgraph.agents.fitting import TooSmallError, fit, told_of
from workgraph.agents.judging import judging_blocks
from workgraph.agents.sections import RULES_BLOCK, blocks_of, preamble_of
from workgraph.graph.context_view import Compiled, ContextView, Given
from workgraph.graph.model import Actor
from workgraph.graph.tokens import bytes_of, estimate, room_of
from workgraph.settings.schema import ContextSettings

GOES_ON: Final = """\
You have worked on this task in this conversation already, and were interrupted. Go on
from where you are: what is done need not be done again. What has changed since then is
below.
"""
NEXT_TASK: Final = """\
This conversation goes on with another task, which is yours now. What you were told
before still holds, and is not repeated; what this task adds is below.
"""


def room_for(actor: Actor | None, settings: ContextSettings) -> int:
    """What an actor may be told: in a prompt, and in all that is new along a path."""
    limit = actor.context_limit if actor and actor.context_limit else settings.limit
    return room_of(limit, settings.reserve)


def compile_context(
    view: ContextView,
    limit: int,
    *,
    given: Given | None = None,
    hide: Callable[[str], str] = str,
) -> Compiled:
    """The prompt for a task in so many tokens.

    Args:
        view: All that is known.
        limit: The most tokens.
        given: What the session knows that it goes on with; what was shown there is
            not repeated. Null for a new one.
        hide: Takes secrets out of a text.

    Raises:
        PlanError: What can't be left out is more than that.
    """
    blocks = [block for block in (preamble_of(view),) if block is not None]
    blocks.extend(blocks_of(view))
    blocks.extend(judging_blocks(view))
    if given is not None:
        blocks = _what_is_new(blocks, given)
    most = bytes_of(limit)
    ready = [
        _rules(most) if block is RULES_BLOCK else Ready(block, most, hide)
        for block in blocks
    ]
    try:
        shown = fit(ready, most)
    except TooSmallError as error:
        needed = estimate(error.needed)
        raise PlanError(
            f"{view.task.id}: its prompt takes {needed} tokens at the least, and the"
            f" limit is {limit}",
            hint="raise [context].limit, or the actor's context limit",
        ) from error
    messages = [
        item.message
        for block, one in zip(blocks, shown, strict=True)
        for item in block.items[: one.items]
        if item.message is not None
    ]
    return Compiled(
        text="".join(one.text for one in shown),
        tokens=estimate(sum(one.size for one in shown)),
        limit=limit,
        blocks=told_of(ready, shown),
        messages=tuple(messages),
    )


@lru_cache(maxsize=16)
def _rules(most: int) -> Ready:
    """The same for every prompt; limits are few."""
    return Ready(RULES_BLOCK, most, str)


def _what_is_new(blocks: list[Block], given: Given) -> list[Block]:
    """The blocks without what the session was shown, and why it goes on."""
    opening = GOES_ON if given.same_task else NEXT_TASK
    first = Block(
        name="goes on",
        source=f"session {given.session}",
        items=(Item(parts=(Part(text=opening),)),),
        bare=True,
    )
    # The settings promise that a preamble stands before every prompt.
    found = [block for block in blocks if block.name == "preamble"]
    found.append(first)
    for block in blocks[len(found) - 1 :]:
        items = tuple(
            item
            for item in block.items
            if item.always or piece_of(block.name, item) not in given.pieces
        )
        if items:
            found.append(replace(block, items=items))
    return found
