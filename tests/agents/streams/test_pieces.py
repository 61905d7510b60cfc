from tests.agents.streams.recorded import recorded
from workgraph.agents.streams.pieces import Pieces


def delta(text: str, parent: str = "null") -> bytes:
    """A piece of a text, as claude writes it."""
    return (
        '{"type":"stream_event","event":{"type":"content_block_delta","index":0,'
        f'"delta":{{"type":"text_delta","text":"{text}"}}}},'
        f'"parent_tool_use_id":{parent}}}\n'
    ).encode()


def test_the_pieces_of_a_text_and_where_it_begins() -> None:
    """As a real one has written them; each is given once."""
    pieces = Pieces()

    for line in recorded("claude/success_partial").stdout.splitlines():
        pieces.take(line)

    assert pieces.taken() == (None, "Partial messages.")
    assert pieces.taken() == ()


def test_what_others_say_is_none_of_it() -> None:
    """Helpers of the agent, its thoughts, and what is no line of its stream."""
    pieces = Pieces()

    pieces.take(delta("a helper's", '"toolu_1"'))
    pieces.take(delta("thought").replace(b"text_delta", b"thinking_delta"))
    pieces.take(b'{"type":"stream_event","event":7}')
    pieces.take(b'{"type":"assistant","text":"stream_event"}')
    pieces.take(delta("own"))

    assert pieces.taken() == ("own",)
