"""Secrets that agents have printed, taken out of what the daemon keeps and shows."""

from collections.abc import Callable
from typing import Final

from msgspec import structs

from workgraph.agents.choices import Grounds
from workgraph.agents.redact import redact
from workgraph.graph import requests as r

#: What of a request is words; the rest would not work with something left out.
_PROSE: Final = (
    "title",
    "description",
    "prompt",
    "message",
    "text",
    "reason",
    "summary",
    "question",
)


def hide_secrets(grounds: Grounds) -> Callable[[str], str]:
    """What takes out of a text the secrets that agents are given by these grounds."""
    return lambda text: redact(text, grounds.secrets)


def without_secrets(grounds: Grounds, request: r.AnyRequest) -> r.AnyRequest:
    """What an agent says for people and other agents, without secrets in it."""
    said = {
        name: text
        for name in _PROSE
        if isinstance(text := getattr(request, name, None), str)
    }
    if not said:
        return request
    hide = hide_secrets(grounds)
    hidden = {name: hide(text) for name, text in said.items()}
    return request if hidden == said else structs.replace(request, **hidden)
