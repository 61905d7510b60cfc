import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph import wire

no_nul = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
fields = st.tuples(no_nul, no_nul, no_nul, no_nul, no_nul, no_nul)


@given(fields, st.lists(no_nul), st.lists(no_nul))
def test_a_call_is_decoded_as_it_was_encoded(
    given_fields: tuple[bytes, bytes, bytes, bytes, bytes, bytes],
    variables: list[bytes],
    argv: list[bytes],
) -> None:
    """Empty arguments and newlines included."""
    encoded = wire.encode_call(given_fields, variables, argv)
    header, _, payload = encoded.partition(b"\n")

    assert wire.call_length(header) == len(payload)
    assert wire.decode_call(payload) == (list(given_fields), variables, argv)


@given(st.binary())
def test_a_broken_call_is_an_error_of_the_wire(payload: bytes) -> None:
    """Nothing else escapes, whatever arrives."""
    with contextlib.suppress(wire.WireError):
        wire.decode_call(payload)


@given(
    st.lists(st.tuples(st.sampled_from([b"o", b"\n", b"1"]), st.binary(max_size=99))),
    st.integers(1, 7),
)
def test_frames_come_out_as_they_went_in(
    frames: list[tuple[bytes, bytes]], step: int
) -> None:
    """However the bytes are cut into pieces."""
    stream = b"".join(wire.encode_frame(kind, body) for kind, body in frames)
    buffer = wire.FrameBuffer()
    taken = []

    for at in range(0, len(stream), step):
        buffer.data += stream[at : at + step]
        while frame := buffer.take():
            taken.append(frame)

    assert taken == frames
    assert not buffer.data


@pytest.mark.parametrize(
    "data", [b"o99999\n", b"o-1\n", b"ox\n", b"o123456789", b"o\n", b"o1 \n"]
)
def test_a_frame_without_a_sane_length_is_refused(data: bytes) -> None:
    """Nothing is kept waiting for bytes that never come."""
    buffer = wire.FrameBuffer()
    buffer.data += data

    with pytest.raises(wire.WireError):
        buffer.take()


@given(st.text(st.characters()), st.text())
def test_an_error_as_json_is_json(message: str, hint: str) -> None:
    """Quotes, control characters and lone surrogates included."""
    text = wire.error_text(message, hint, "failed", as_json=True)

    error = {"code": "failed", "message": message, "hint": hint}
    assert json.loads(text) == {"schema": "wg/1", "error": error}


@pytest.mark.parametrize(
    ("argv", "named", "rest"),
    [
        (["--dir", "d", "list"], "d", ["list"]),
        (
            ["--json", "--dir=d", "list", "--dir", "e"],
            "d",
            ["--json", "list", "--dir", "e"],
        ),
        (["add", "--dir", "d"], None, ["add", "--dir", "d"]),
        (["--", "--dir", "d"], None, ["--", "--dir", "d"]),
        (["--dir"], None, ["--dir"]),
    ],
)
def test_dir_counts_before_the_command(
    argv: list[str], named: str | None, rest: list[str]
) -> None:
    """After it, it is the command's own word."""
    assert wire.named_dir(argv) == (named, rest)


def test_the_project_is_found_upwards_or_by_name(tmp_path: Path) -> None:
    """By the folder that holds .wg, by .wg itself, and from inside it."""
    wg_dir = tmp_path / ".wg"
    below = wg_dir / "agents" / "agent-1"
    below.mkdir(parents=True)

    assert wire.find_wg_dir(None, str(below)) == str(wg_dir)
    assert wire.find_wg_dir(str(tmp_path), "/") == str(wg_dir)
    assert wire.find_wg_dir(".wg", str(tmp_path)) == str(wg_dir)
    assert wire.find_wg_dir("nowhere", str(tmp_path)) is None


def test_a_long_path_has_its_socket_elsewhere() -> None:
    """107 bytes are the most; the same path gives the same place."""
    most = "/" + "p" * (wire.MAX_SOCKET_PATH_BYTES - len("//wgd.sock"))

    fits = wire.socket_candidates(most, 1000, None)
    long = wire.socket_candidates(most + "p", 1000, "/run/x")

    assert fits == [most + "/wgd.sock"]
    assert [path.rsplit("/", 2)[0] for path in long] == [
        "/run/x/workgraph",
        "/run/user/1000/workgraph",
        "/tmp/workgraph-1000",
    ]
    assert long == wire.socket_candidates(most + "p", 1000, "/run/x")
