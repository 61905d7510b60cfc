"""A chat's handler in a few lines: it answers, and adds a task where it is asked to.

Each message is a line of JSON on standard input, each line on standard output an answer
to one. It acts by calling wg: the token in its environment says which chat speaks.
`WG_PROMPT_FILE` is what an agent is told at its start, the history among it; a model
would be given that, this script needs no more of it than its size.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def wg(*arguments: str) -> str:
    done = subprocess.run(
        ["wg", *arguments], check=False, capture_output=True, text=True
    )
    return (done.stdout or done.stderr).strip()


def answer(text: str) -> str:
    """What is said to a message, and done for it."""
    verb, _, rest = text.partition(" ")
    if verb == "add":
        return f"I have added {wg('add', rest)}."
    if verb == "drop":
        return f"I was told: {wg('abandon', '--task', rest)}"
    if verb == "tasks":
        tasks = json.loads(wg("list", "--json"))["data"]
        return "\n".join(f"{one['id']}: {one['status']}" for one in tasks) or "none"
    if verb == "told":
        told = Path(os.environ["WG_PROMPT_FILE"]).read_text()
        return "yes" if rest in told else "no"
    return "I know: add TITLE, drop ID, tasks, told WORD."


if __name__ == "__main__":
    # The input ends with the daemon, or when nobody uses the chat any more.
    for line in sys.stdin:
        message = json.loads(line)
        reply = {"reply_to": message["id"], "text": answer(message["text"])}
        print(json.dumps(reply), flush=True)
