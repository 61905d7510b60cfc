"""Calls of `wg` (see `wire`): one command each, its streams, an exit status."""

import anyio

from workgraph import __version__, wire
from workgraph.daemon.call import Call, decode_call
from workgraph.daemon.json_lines import MAX_LINE_BYTES
from workgraph.daemon.link import Link
from workgraph.daemon.streams import ClientGone, Streams
from workgraph.graph.errors import EXIT_TRY_LATER, WorkgraphError


async def is_call(link: Link) -> bool:
    """Whether what a connection begins with is a call."""
    data = link.received.data
    with anyio.move_on_after(link.clients.arrival_s):
        while len(data) < len(wire.MAGIC) and data == wire.MAGIC[: len(data)]:
            if not await link.wait_received():
                return False
    return data.startswith(wire.MAGIC[:2]) and data[2:3].isdigit()


async def serve_call(link: Link) -> None:
    """Carries out the one command of a connection.

    Raises:
        wire.WireError: What arrives is no call.
        ClientGone: The client went away while something was expected of it.
    """
    link.is_idle = False
    call = await _receive_call(link)
    if call is None:
        return
    streams = Streams(link)
    link.streams = streams
    as_json = wire.wants_json(call.argv)
    try:
        if link.is_refused:
            refusal = link.clients.refusal
            await streams.err(
                wire.error_text(refusal, "", "try_later", as_json=as_json)
            )
            status = EXIT_TRY_LATER
        else:
            link.write(wire.encode_frame(wire.ACK))
            status = await link.clients.handler.run_call(call, streams)
    except WorkgraphError as error:
        text = wire.error_text(error.message, error.hint, error.code, as_json=as_json)
        await streams.err(text)
        status = error.exit_code
    except (ClientGone, wire.WireError):
        raise
    except Exception:
        link.clients.log.exception("call_failed", pid=link.peer.pid)
        message = "something went wrong in the daemon"
        hint = ".wg/log/wgd.jsonl says what"
        await streams.err(wire.error_text(message, hint, "bug", as_json=as_json))
        status = 1
    await streams.finish(status)


def refusal_frames(message: str, status: int, hint: str = "") -> bytes:
    """What ends a call that was not taken."""
    code = "try_later" if status == EXIT_TRY_LATER else "failed"
    text = wire.error_text(message, hint, code, as_json=False)
    return wire.encode_frame(wire.ERR, text.encode()) + wire.encode_frame(
        wire.EXIT, b"%d" % status
    )


async def _receive_call(link: Link) -> Call | None:
    data = link.received.data
    link.read_limit = wire.MAX_CALL_BYTES
    with anyio.move_on_after(link.clients.arrival_s):
        while (end := data.find(b"\n", 0, wire.MAX_HEADER_BYTES)) < 0:
            if len(data) >= wire.MAX_HEADER_BYTES:
                message = "a call without a length"
                raise wire.WireError(message)
            if not await link.wait_received():
                return None
        header = bytes(data[:end])
        if header.partition(b" ")[0] != wire.MAGIC:
            message = f"this daemon is of version {__version__} and does not know this"
            hint = "restart it: `wg service restart`"
            link.write(refusal_frames(f"{message} wg", 1, hint))
            return None
        size = wire.call_length(header)
        while len(data) < end + 1 + size:
            if not await link.wait_received():
                return None
        payload = bytes(data[end + 1 : end + 1 + size])
        del data[: end + 1 + size]
        link.read_limit = MAX_LINE_BYTES
        return decode_call(payload, link.peer)
    limit = f"{link.clients.arrival_s:g} s"
    link.write(refusal_frames(f"a call has to arrive within {limit}", 1))
    return None
