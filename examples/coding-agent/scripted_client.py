"""A stand-in for a coding agent's client: it follows a script where others ask a model.

Like them it reads its prompt on standard input, edits files in its working directory,
and tells wg by itself how it gets on. `WG_TASK_ID` says which task is its own, so that
no call of `wg` has to name it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def wg(*arguments: str) -> str:
    command = ["wg", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def fix_conversion() -> None:
    """Finds the wrong sign, and leaves a note for whoever comes next."""
    wg("log", "the formula adds 32 where it should take it away")
    source = Path("temperature.py")
    source.write_text(source.read_text().replace("+ 32) * 5 / 9", "- 32) * 5 / 9"))
    wg("progress", "60", "the formula is mended")
    Path("notes.md").write_text("- `to_celsius` was wrong for every temperature.\n")
    wg("artifact", "notes.md", "--name", "notes")
    wg("done", "--summary", "to_celsius takes 32 away now; test_temperature.py passes")


def write_changelog() -> None:
    """Takes up the note that the other task handed over."""
    shown = json.loads(wg("show", "fix-conversion", "--json"))["data"]
    notes = next(one for one in shown["artifacts"] if one["name"] == "notes")
    wg("log", f"the notes of fix-conversion are in {notes['path']}")
    fixed = Path(notes["path"]).read_text()
    Path("CHANGELOG.md").write_text(f"# Changes\n\n## Fixed\n{fixed}")
    wg("artifact", "CHANGELOG.md", "--name", "changelog")
    wg("done", "--summary", "CHANGELOG.md has an entry about the fix")


SCRIPTS = {"fix-conversion": fix_conversion, "write-changelog": write_changelog}

if __name__ == "__main__":
    prompt = sys.stdin.read()
    task = os.environ["WG_TASK_ID"]
    print(f"{' '.join(sys.argv)}: {len(prompt)} characters of prompt")
    if task not in prompt or task not in SCRIPTS:
        wg("fail", "--reason", f"there is no script for {task}")
        sys.exit(1)
    SCRIPTS[task]()
