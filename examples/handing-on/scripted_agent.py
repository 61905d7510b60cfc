"""A stand-in for a coding agent that works from what its prompt tells it, and no more.

A real client hands the prompt to a model. This one looks for what it needs between the
marks, so that it can be seen what is there: paths of inputs, conclusions, answers.
"""

import os
import re
import subprocess
import sys
from pathlib import Path


def wg(*arguments: str) -> None:
    subprocess.run(["wg", *arguments], check=True)


def block(name: str) -> str:
    """What the prompt says in one of its blocks; empty where there is none."""
    found = re.search(
        rf"^===== {name}\n(.*?)^===== end of {name}$", PROMPT, re.M | re.S
    )
    return found[1] if found else ""


def inputs() -> list[str]:
    """What is in the files of the inputs: as it was recorded, whatever became of it."""
    paths = re.findall(r"^path: (.*)$", block("inputs"), re.M)
    return [Path(path).read_text().strip() for path in paths]


def conclude(file: str, text: str, summary: str) -> None:
    Path(file).write_text(f"{text}\n")
    wg("artifact", file)
    wg("done", "--summary", summary)


def survey() -> None:
    conclude("survey.md", "Ash 120, Birch 90, Cedar 300", "three offers, see survey.md")


def costs() -> None:
    prices = [int(price) for price in re.findall(r"\d+", inputs()[0])]
    conclude(
        "costs.md", f"from {min(prices)} to {max(prices)}", "Birch is the cheapest"
    )


def risks() -> None:
    answer = re.search(r"===== text\n(.*)", block("messages"))
    if answer is None:
        wg("ask", "How many years is it to last?")
        return
    conclude("risks.md", f"Birch: none within {answer[1]}", f"safe for {answer[1]}")


def memo() -> None:
    said = re.findall(r"===== summary\n(.*)", block("dependencies"))
    style = block("files").strip().splitlines()[-1]
    text = "\n".join([style, *said, *inputs()])
    conclude("memo.md", text, "memo.md recommends Birch")


if __name__ == "__main__":
    PROMPT = sys.stdin.read()
    names = re.findall(r"^===== end of (.*)$", PROMPT, re.M)
    print(f"it was told: {', '.join(names)}")
    {"survey": survey, "costs": costs, "risks": risks, "memo": memo}[
        os.environ["WG_TASK_ID"]
    ]()
