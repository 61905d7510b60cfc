"""A stand-in for a coding agent that writes a page, and forgets the example at first.

A real client hands the prompt to a model. This one looks for one thing in it: whether
the notes on an earlier attempt say that there is no example.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = "\nExample:\n\n    wg why count\n"


def attempts(prompt: str) -> str:
    """What the prompt says of earlier attempts; empty where there were none."""
    found = re.search(
        r"^===== attempts\n(.*?)^===== end of attempts$", prompt, re.M | re.S
    )
    return found[1] if found else ""


if __name__ == "__main__":
    name = os.environ["WG_TASK_ID"]
    was_told = "no example" in attempts(sys.stdin.read())
    page = f"# {name}\n\nWhat it does, and what it prints.\n"
    Path(f"{name}.md").write_text(page + (EXAMPLE if was_told else ""))
    said = "with an example" if was_told else "it is complete, give it a 1.0"
    subprocess.run(["wg", "done", "--summary", said], check=True)
