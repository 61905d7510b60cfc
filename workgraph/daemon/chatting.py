"""Chats in the tick: what the reconciler is shown, and what it decides made true."""

from collections.abc import Collection, Mapping

from workgraph.daemon.launching import Host
from workgraph.daemon.orders import Effect
from workgraph.graph.chats import ChatDecision, ChatsView
from workgraph.graph.facts import ChatHeard
from workgraph.store.database import Tx


def view(
    tx: Tx,
    host: Host,
    *,
    consumers: Mapping[int, int],
    inputs: Collection[int],
    may_start: bool,
) -> ChatsView:
    """The chats that may need something.

    Args:
        tx: The transaction.
        host: What plans are made from.
        consumers: How many are connected to each chat, by its number.
        inputs: The agents that this daemon can write to.
        may_start: Neither draining nor offline.
    """
    del tx, host, consumers, inputs
    return ChatsView(may_start=may_start)


def carry_out(tx: Tx, decision: ChatDecision, host: Host) -> list[Effect]:
    """Makes a decision about a chat true."""
    del tx, decision, host
    return []


def note_heard(tx: Tx, fact: ChatHeard, host: Host) -> None:
    """Writes down what a handler has said, with how far that goes in its output."""
    del tx, fact, host
