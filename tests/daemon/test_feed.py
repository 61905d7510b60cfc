from workgraph.daemon.feed import MOST_PARTIAL, Feed, Partial
from workgraph.graph.changes import Change, ChangeKind


def a_change(kind: ChangeKind, task: str | None, verb: str | None = None) -> Change:
    """A change that was committed."""
    return Change(seq=1, at=0, kind=kind, task=task, verb=verb)


def test_each_reader_reads_on_from_its_own_place() -> None:
    """One that is slow reads more at once; one that comes late reads all of it."""
    feed = Feed()
    feed.publish(1, "one ")
    quick = feed.since(1, 0, 0)

    feed.publish(1, "two")

    assert quick == Partial(part=0, at=0, text="one ")
    assert feed.since(1, 0, 4) == Partial(part=0, at=4, text="two")
    assert feed.since(1, 0, 0) == Partial(part=0, at=0, text="one two")
    assert feed.since(1, 0, 7) is None
    assert feed.since(2, 0, 0) is None


def test_a_text_that_is_whole_makes_room_for_the_next() -> None:
    """Its reader begins anew, wherever it was in the first."""
    feed = Feed()
    feed.publish(1, "first")
    feed.finish(1)
    nothing = feed.since(1, 0, 5)

    feed.publish(1, "second")

    assert nothing is None
    assert feed.since(1, 0, 5) == Partial(part=1, at=0, text="second")


def test_an_endless_text_is_bounded() -> None:
    """What is over it is read when it is whole, from the graph."""
    feed = Feed()

    for _ in range(3):
        feed.publish(1, "x" * MOST_PARTIAL)

    partial = feed.since(1, 0, 0)
    assert partial is not None
    assert len(partial.text) == MOST_PARTIAL


def test_a_bell_rings_for_its_chat_alone() -> None:
    """More said, or a change of the chat; nothing of other tasks."""
    feed = Feed()
    one, other = feed.bell(1), feed.bell(2)

    feed.heed(
        [a_change(ChangeKind.TASK_ADDED, "x"), a_change(ChangeKind.TASK_LOGGED, ".x")]
    )
    before = one.is_set()
    feed.heed([a_change(ChangeKind.AGENT_STARTED, ".chat-1")])
    again = feed.bell(1)
    feed.publish(1, "text")

    assert (before, one.is_set(), again.is_set(), other.is_set()) == (
        False,
        True,
        True,
        False,
    )


def test_a_reply_and_an_end_finish_what_was_said() -> None:
    """A message of somebody, or a note, does not."""
    ends = []
    for kind, verb in (
        (ChangeKind.CHAT_SAID, "message"),
        (ChangeKind.CHAT_SAID, "note"),
        (ChangeKind.CHAT_SAID, "reply"),
        (ChangeKind.CHAT_SAID, "error"),
        (ChangeKind.AGENT_ENDED, None),
    ):
        feed = Feed()
        feed.publish(1, "text")
        feed.heed([a_change(kind, ".chat-1", verb)])
        ends.append(feed.since(1, 0, 0) is None)

    assert ends == [False, False, True, True, True]
