"""How many tokens a text counts, and how much of what agents are given is shown. Pure.

Prompts and trajectories count alike, or a session would be planned that can't be had.
"""

from typing import Final

#: What a prompt shows of an input at most, in bytes: whoever needs more reads the file.
EXCERPT_BYTES: Final = 16 * 1024
#: What a file counts whose size is not known.
UNKNOWN_BYTES: Final = 4096
#: What a conclusion counts that is not there yet.
CONCLUSION_BYTES: Final = 700
#: No more of a limit than this part of it is kept back, however large the reserve is.
_MOST_RESERVED: Final = 4


def estimate(size: int) -> int:
    """The tokens of so many bytes of UTF-8: by 3.5, rounded up."""
    return (2 * size + 6) // 7


def bytes_of(tokens: int) -> int:
    """The most bytes that are estimated at so many tokens."""
    return tokens * 7 // 2


def room_of(limit: int, reserve: int) -> int:
    """What of an actor's limit a prompt may take: all but the reserve.

    That is a quarter at the most, so that a small limit leaves room for a prompt.
    """
    return limit - min(reserve, limit // _MOST_RESERVED)


def estimate_item(size: int | None) -> int:
    """The tokens of a file or an artifact; null is a size that is not known."""
    return estimate(UNKNOWN_BYTES if size is None else min(size, EXCERPT_BYTES))


def estimate_conclusion(size: int | None) -> int:
    """The tokens of what a task concludes; null: it has not yet."""
    return estimate(CONCLUSION_BYTES if size is None else size)
