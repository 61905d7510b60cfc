"""A client that is kept open as claude is, for tests; no model is asked.

It answers a message with its text; `wait` waits until it is interrupted, `fail` ends
its turn with an error, `limit` with one of the provider's, `late` goes on by itself
after its answer. With `--resume ID` it goes on with that session.
"""

import json
import os
import sys
from typing import Any

SESSION = (
    sys.argv[sys.argv.index("--resume") + 1]
    if "--resume" in sys.argv
    else f"talk-{os.environ['WG_AGENT_ID']}"
)


def write(**line: object) -> None:
    """Prints a line of the stream."""
    os.write(1, json.dumps(line | {"session_id": SESSION}).encode() + b"\n")


def end_turn(uuid: str | None, **more: object) -> None:
    """Prints what ends a turn: each costs the same."""
    write(
        type="result",
        subtype="success",
        **{"is_error": False} | more,
        usage={"input_tokens": 10, "output_tokens": 5},
        total_cost_usd=0.5,
        model_usage_since_last_result={"m": {"costUSD": 0.5}},
        **{} if uuid is None else {"user_message_uuid": uuid},
    )


def answer(message: dict[str, Any]) -> None:
    """Does what a message says."""
    uuid = message["uuid"]
    text = message["message"]["content"]
    write(type="system", subtype="init", model="m")
    write(**message | {"isReplay": True})
    if "please wait" in text:
        asked = json.loads(sys.stdin.readline())
        assert asked["request"] == {"subtype": "interrupt"}, asked
        end_turn(uuid, is_error=True, terminal_reason="aborted_tools")
        return
    if "please fail" in text:
        end_turn(
            uuid, is_error=True, result="The request was bad", api_error_status=400
        )
        return
    if "please limit" in text:
        end_turn(uuid, is_error=True, result="Too many requests", api_error_status=429)
        return
    block = {"type": "text", "text": "words"}
    write(type="assistant", message={"id": uuid, "model": "m", "content": [block]})
    end_turn(uuid, result=f"in {SESSION}: words")
    if "and late" in text:
        end_turn(None, result="one more thing")


for line in sys.stdin:
    answer(json.loads(line))
