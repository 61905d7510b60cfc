"""What is found at the end of an agent's output."""

import json

import pytest

from workgraph.agents.answers import find_object, last_words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("no", None),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": 1}\n', '{"a": 1}'),
        ('{"a": 1}\r\n  \n', '{"a": 1}'),
        ('{"a": 1}\nand so on', '{"a": 1}'),
        ('{"a": 1}\n{"b": 2}\n', '{"b": 2}'),
        ('{"a": 1}\n{"b": 2\n', '{"a": 1}'),
        ('as JSON: {"a": 1}', None),
        ('> {"a": 1}', None),
        ("[1, 2]", None),
        ("{}", "{}"),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```json\n{\n  "a": 1\n}\n```\nbye', '{\n  "a": 1\n}'),
        ('{\n  "a": 1\n}', None),
        ('```\n{"a": 1}\n```\n```\nno\n```', '{"a": 1}'),
        ('```\n{\n "a": 1}\n```\n{"b": 2}', '{"b": 2}'),
        ("{" * 100_000, None),
    ],
)
def test_the_last_object_of_a_line_or_a_fence(text: str, found: str | None) -> None:
    """Whatever stands around it; an object over many lines needs a fence."""
    assert find_object(text) == found


def test_of_a_stream_only_its_clients_message_counts() -> None:
    """What a tool has shown is not what the evaluator has said."""

    def line(kind: str, block: dict[str, object]) -> str:
        message = {"id": "m", "role": kind, "content": [block]}
        return json.dumps({"type": kind, "message": message, "session_id": "s"})

    out = "\n".join(
        (
            line("assistant", {"type": "text", "text": 'well\n{"score": 0.4}'}),
            line(
                "user",
                {"type": "tool_result", "tool_use_id": "x", "content": '{"score": 1}'},
            ),
        )
    )

    assert find_object(last_words("claude", out.encode())) == '{"score": 0.4}'


def test_a_long_message_is_known_by_its_end() -> None:
    """The answer comes after the thoughts."""
    text = "x" * 200_000 + '\n{"score": 0.4}'
    message = {
        "id": "m",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
    }
    out = json.dumps({"type": "assistant", "message": message}).encode()

    assert find_object(last_words("claude", out)) == '{"score": 0.4}'
    assert find_object(last_words("text", text.encode())) == '{"score": 0.4}'
