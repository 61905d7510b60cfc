"""Requests as lines of JSON (CONTRACT §5): each gets a line back, in order, or many.

A line that is too long, that takes too long to arrive or that is not understood gets an
error; after all but the second the connection goes on.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import anyio
import msgspec

from workgraph.daemon.link import Link
from workgraph.graph.errors import WorkgraphError

MAX_LINE_BYTES: Final = 1024 * 1024

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BAD: Final = "bad_request"


async def serve_lines(link: Link) -> None:
    """Answers what a connection asks, until it ends."""
    while (line := await _receive_line(link)) is not None:
        if not line or line.isspace():
            continue
        link.is_idle = False
        if link.is_refused:
            link.write(error_line("try_later", link.clients.refusal))
            return
        if len(line) > MAX_LINE_BYTES:
            message = f"a request is at most {MAX_LINE_BYTES} bytes long"
            link.write(error_line(_BAD, message))
            await _skip_line(link, line)
        else:
            await _answer(link, line)
        if link.is_backed_up:
            await link.wait_writable()


def error_line(code: str, message: str, hint: str = "") -> bytes:
    """The answer to a request that failed."""
    error = {"code": code, "message": message}
    if hint:
        error["hint"] = hint
    return msgspec.json.encode({"ok": False, "error": error}) + b"\n"


async def _receive_line(link: Link) -> bytes | None:
    """The next line, its last one without its end; null when there is none."""
    data = link.received.data
    until: float | None = None
    while (line := _next_line(link)) is None:
        link.is_idle = True
        if data and until is None:
            until = anyio.current_time() + link.clients.arrival_s
        has_more = await _wait_received(link, until)
        if has_more is None:
            allowed = f"{link.clients.arrival_s:g} s"
            message = f"a request has to arrive within {allowed} of its first byte"
            link.write(error_line(_BAD, message))
            return None
        if not has_more:
            line = bytes(data)
            data.clear()
            # Cut off, unless its sender still waits for the answer.
            return None if link.gone.is_set() or not line else line
    return line


async def _wait_received(link: Link, until: float | None) -> bool | None:
    """Whether more has come; null when it took too long."""
    if until is None:
        return await link.wait_received()
    with anyio.CancelScope(deadline=until):
        return await link.wait_received()
    return None


def _next_line(link: Link) -> bytes | None:
    """The next line; as much as there is of one that is too long; else None."""
    data = link.received.data
    end = data.find(b"\n")
    if end < 0:
        if len(data) <= MAX_LINE_BYTES:
            return None
        line = bytes(data)
        data.clear()
        return line
    line = bytes(data[:end])
    # An oversize line keeps its end, so that `_skip_line` knows that it has one.
    if end > MAX_LINE_BYTES:
        line += b"\n"
    del data[: end + 1]
    return line


async def _skip_line(link: Link, line: bytes) -> None:
    data = link.received.data
    while not line.endswith(b"\n"):
        end = data.find(b"\n")
        if end >= 0:
            del data[: end + 1]
            return
        data.clear()
        if not await link.wait_received():
            return


async def _answer(link: Link, line: bytes) -> None:
    try:
        answer = await link.clients.handler.answer_line(line, link.peer)
        if not isinstance(answer, bytes):
            await _stream(link, answer)
            return
    except _UNREADABLE as error:
        link.write(error_line(_BAD, str(error)))
    except WorkgraphError as error:
        link.write(error_line(error.code, error.message, error.hint))
    except Exception:
        link.clients.log.exception("request_failed", pid=link.peer.pid)
        message = "something went wrong in the daemon; its log says what"
        link.write(error_line("bug", message))
    else:
        link.write(answer + b"\n")


async def _stream(link: Link, lines: AsyncGenerator[bytes]) -> None:
    with link.scope_while_here():
        async with aclosing(lines):
            async for line in lines:
                link.write(line + b"\n")
                await link.wait_writable()
