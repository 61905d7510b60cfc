"""The rubric by which work is judged: its version."""

from typing import Final

#: Only rewards of this version are learnt from.
RUBRIC: Final = "1"
