"""Which blocks of a prompt are cut, and to what, so that all of it is within a limit.

The block of the lowest rank is cut first, down to its floor, then the next one. When
all floors together are too much, blocks are left out, the lowest rank first, with a
word in their place. Pure.
"""

from collections.abc import Sequence

from workgraph.agents.blocks import Ready, Shown
from workgraph.graph.context_view import Told
from workgraph.graph.tokens import bytes_of, estimate


class TooSmallError(Exception):
    """Not even what can't be left out is within the limit.

    Args:
        needed: The bytes that it would take.
    """

    def __init__(self, needed: int) -> None:
        super().__init__(f"{needed} bytes are needed")
        self.needed = needed


def fit(blocks: Sequence[Ready], most: int) -> list[Shown]:
    """The blocks as they are shown, in their order, in so many bytes at the most.

    Raises:
        TooSmallError: They can't be.
    """
    shown = [ready.whole for ready in blocks]
    over = sum(one.size for one in shown) - most
    order = sorted(
        (n for n, ready in enumerate(blocks) if ready.block.rank is not None),
        key=lambda n: (blocks[n].block.rank or 0, n),
    )
    for n in order:
        if over <= 0:
            return shown
        room = max(shown[n].size - over, bytes_of(blocks[n].block.floor))
        less = blocks[n].show(room)
        if less.size < shown[n].size:
            over += less.size - shown[n].size
            shown[n] = less
    for n in order:
        if over <= 0:
            return shown
        word = blocks[n].say_dropped()
        if blocks[n].block.optional and word.size < shown[n].size:
            over += word.size - shown[n].size
            shown[n] = word
    if over > 0:
        raise TooSmallError(sum(one.size for one in shown))
    return shown


def told_of(blocks: Sequence[Ready], shown: Sequence[Shown]) -> tuple[Told, ...]:
    """What is kept of blocks as they are shown; their tokens add up to the whole's."""
    told: list[Told] = []
    end = 0
    for ready, one in zip(blocks, shown, strict=True):
        start, end = end, end + one.size
        told.append(
            Told(
                name=ready.block.name,
                source=ready.block.source,
                tokens=estimate(end) - estimate(start),
                cut=one.cut,
                sha256=ready.sha256,
                whole=estimate(ready.whole.size),
                pieces=ready.pieces[: one.items],
            )
        )
    return tuple(told)
