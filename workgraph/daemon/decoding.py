"""A line of JSON to a request, and what is wrong with one that is none."""

from typing import Final

import msgspec

from workgraph.commands.context import Caller
from workgraph.daemon import special
from workgraph.graph import requests as r
from workgraph.graph.errors import UsageError
from workgraph.graph.prompt_requests import GetContext
from workgraph.graph.reservations import GetTrajectory
from workgraph.graph.reward_requests import ShowRewards

_decode: Final = msgspec.json.Decoder(r.AnyRequest).decode
#: What names a task, or is about all of them.
_ABOUT_ALL: Final = (
    r.Pause,
    r.Resume,
    r.Watch,
    r.GetSpend,
    GetTrajectory,
    ShowRewards,
)
#: Commands under other spellings than their tags.
_ALIASES: Final = {"add": "add_task", "config": "config_list"}


def decode_request(line: bytes) -> r.AnyRequest:
    """A request from a line of JSON; spellings of `cmd` with `-` are taken, too.

    Raises:
        WorkgraphError: It is no request; the message says what is wrong with it.
    """
    try:
        request: r.AnyRequest = _decode(line)
    except msgspec.MsgspecError as error:
        return _decode_again(line, error)
    return request


def about_a_task(request: r.AnyRequest, caller: Caller) -> r.AnyRequest:
    """The request with its task: an agent's own, where it names none.

    Raises:
        UsageError: It names none and is not an agent's.
    """
    if isinstance(request, _ABOUT_ALL):
        return request
    if isinstance(request, GetContext) and request.agent is not None:
        return request
    if getattr(request, "task", "") is not None:
        return request
    if caller.agent is None:
        raise UsageError(
            "this request needs a task", code="bad_request", hint='say "task":"ID"'
        )
    return msgspec.structs.replace(request, task=caller.agent.task)


def _decode_again(line: bytes, error: msgspec.MsgspecError) -> r.AnyRequest:
    try:
        document = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as broken:
        raise UsageError(
            f"this is not JSON: {broken}", code="bad_request", hint="one object a line"
        ) from broken
    if not isinstance(document, dict):
        raise UsageError(
            "a request is an object", code="bad_request", hint='{"cmd":"status"}'
        ) from error
    cmd = document.get("cmd")
    known = isinstance(cmd, str) and cmd in special.COMMANDS
    if isinstance(cmd, str) and not known:
        spelt = cmd.replace("-", "_")
        spelt = _ALIASES.get(spelt, spelt)
        if spelt not in special.COMMANDS:
            raise UsageError(
                f"there is no command {cmd!r}",
                code="unknown_command",
                hint="see docs/socket.md",
            ) from error
        document["cmd"] = spelt
    try:
        request: r.AnyRequest = msgspec.convert(document, r.AnyRequest)
    except msgspec.ValidationError as invalid:
        raise UsageError(
            f"{cmd or 'request'}: {invalid}",
            code="bad_request",
            hint="fields are the option names with _",
        ) from invalid
    return request
