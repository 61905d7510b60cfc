"""The program: `python -m workgraph.native`, the prompt on standard input."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

#: The extra is not installed (EX_UNAVAILABLE of sysexits.h).
MISSING: Final = 69
_NEEDED: Final = ("pydantic_ai", "openai")
_REMEDY: Final = "pip install 'workgraph-orchestrator[native]'"


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs the agent; gives its exit status."""
    options = _parser().parse_args(argv)
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        print(  # noqa: T201 - the program's own words
            f"native: {missing[0]} is not installed: {_REMEDY}", file=sys.stderr
        )
        return MISSING
    prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    if not prompt.strip():
        print("native: no prompt on standard input", file=sys.stderr)  # noqa: T201
        return 2
    return _run(options, prompt, env)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workgraph.native", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--endpoint", required=True, metavar="URL")
    parser.add_argument(
        "--model", default="", help="without one: the only one that is served"
    )
    parser.add_argument(
        "--api-key-env", default="", metavar="NAME", help="the variable with the key"
    )
    parser.add_argument(
        "--permissions", default="edits", choices=("readonly", "edits", "full")
    )
    parser.add_argument(
        "--allow", default="", metavar="TOOL,...", help="there whatever is permitted"
    )
    session = parser.add_mutually_exclusive_group()
    session.add_argument("--session-id", metavar="UUID", type=_uuid)
    session.add_argument("--resume", metavar="UUID", type=str)
    parser.add_argument("--max-turns", type=_positive, default=100)
    parser.add_argument(
        "--tool-output", type=_positive, default=20_000, metavar="BYTES"
    )
    parser.add_argument(
        "--tool-timeout", type=_positive, default=600, metavar="SECONDS"
    )
    parser.add_argument(
        "--request-timeout", type=_positive, default=600, metavar="SECONDS"
    )
    return parser


def _uuid(text: str) -> str:
    return str(UUID(text))


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _run(options: argparse.Namespace, prompt: str, env: Mapping[str, str]) -> int:
    # Late: they are not there without the extra, and take a second to import.
    import anyio  # noqa: PLC0415

    from workgraph.native.agent import Order, run  # noqa: PLC0415
    from workgraph.native.sessions import Sessions  # noqa: PLC0415
    from workgraph.native.stream import Stream  # noqa: PLC0415
    from workgraph.native.tools import Workplace  # noqa: PLC0415

    key = env.get(options.api_key_env, "")
    sessions = Sessions(_state_folder(env) / "workgraph" / "native")
    sessions.drop_old(time.time())
    session = options.resume or options.session_id or str(uuid4())
    order = Order(
        prompt=prompt,
        model=options.model,
        endpoint=options.endpoint,
        key=key,
        session=session,
        resume=options.resume is not None,
        posture=options.permissions,
        allowed=tuple(options.allow.split(",")),
        max_turns=options.max_turns,
        request_timeout_s=options.request_timeout,
        place=Workplace(
            cwd=str(Path.cwd()),
            # Tools have no use for the key.
            env={name: env[name] for name in env if name != options.api_key_env},
            limit=options.tool_output,
            longest_s=options.tool_timeout,
        ),
    )
    stream = Stream(_write, session, key)

    async def until_told() -> int:
        status = 1
        async with anyio.create_task_group() as tasks:

            async def end_when_told() -> None:
                nonlocal status
                with anyio.open_signal_receiver(
                    signal.SIGTERM, signal.SIGINT
                ) as received:
                    async for number in received:
                        status = 128 + number
                        tasks.cancel_scope.cancel()
                        return

            tasks.start_soon(end_when_told)
            status = await run(order, stream, sessions, anyio.sleep)
            tasks.cancel_scope.cancel()
        return status

    return anyio.run(until_told)


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _state_folder(env: Mapping[str, str]) -> Path:
    """Where programs keep what they know between runs (XDG)."""
    named = env.get("XDG_STATE_HOME", "")
    if named.startswith("/"):
        return Path(named)
    return Path(env.get("HOME") or "~").expanduser() / ".local" / "state"


if __name__ == "__main__":
    ended = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    # Not by way of threads that a signal has left at work.
    os._exit(ended)
