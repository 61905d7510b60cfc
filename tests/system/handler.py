"""The handler of a chat, for tests: what it does is in the message that it is sent.

`echo X` says X. `env` says its environment. `junk` says much that is no answer first.
`half X` says half of an answer, makes the file `half`, and the rest of it when
somebody opens the pipe `go`. `twice X` answers twice. `quit X` says X and leaves,
`die` leaves with 1. With `deaf` as its argument it ignores TERM and the end of its
input.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def write(data: bytes) -> None:
    """Writes without a buffer: what is written is in the file."""
    os.write(1, data)


def say(message: dict[str, Any], text: str) -> None:
    """Answers a message."""
    line = {"reply_to": message["id"], "text": text}
    write(json.dumps(line).encode() + b"\n")


def answer(message: dict[str, Any]) -> None:
    """Does what a message says."""
    verb, _, rest = message["text"].partition(" ")
    match verb:
        case "echo":
            say(message, rest)
        case "env":
            say(message, json.dumps(dict(os.environ)))
        case "junk":
            write(b"working on it\n\xff\xfe\0\n" + b"x" * 3_000_000 + b"\n")
            write(b'{"progress": 7}\n')
            os.write(2, b'{"text": "an error"}\n')
            say(message, rest)
        case "half":
            line = json.dumps({"reply_to": message["id"], "text": rest}).encode()
            write(line[:20])
            Path("half").touch()
            Path("go").read_bytes()
            write(line[20:] + b"\n")
        case "twice":
            say(message, rest)
            say(message, f"{rest} again")
        case "quit":
            say(message, rest)
            sys.exit()
        case _:
            sys.exit(1)


if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(f"handler-{os.environ['WG_AGENT_ID']}").write_text(str(os.getpid()))
for line in sys.stdin:
    answer(json.loads(line))
if "deaf" in sys.argv:
    while True:
        signal.pause()
