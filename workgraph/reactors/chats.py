"""The reconciler of chats: what is there is made to be what is wanted (CONTRACT §8)."""

from workgraph.graph.chats import ChatDecision, ChatsView


def decide(view: ChatsView, now: int) -> tuple[ChatDecision, ...]:
    """What has ended is settled, what is wanted started, what waits delivered."""
    del view, now
    return ()
