"""What an input says, and which artifact it means."""

import pytest

from workgraph.graph.inputs import Input, find_artifact, split_reference
from workgraph.graph.model import Artifact


def an_artifact(name: str, path: str = "", sha256: str = "a") -> Artifact:
    """An artifact of one byte."""
    return Artifact(
        name=name, path=path or f"/p/{name}", sha256=sha256, size=1, agent=None
    )


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("parse:out.json", ("parse", "out.json")),
        ("parse:out/a:b c\n.txt", ("parse", "out/a:b c\n.txt")),
        ("./a:b", None),
        ("sub/a:b", None),
        ("/abs:olute", None),
        ("https://example.org/x", None),
        ("Upper:x", None),
        ("parse:", None),
        ("notes.md", None),
        ("", None),
    ],
)
def test_a_reference_is_told_from_a_path(
    text: str, split: tuple[str, str] | None
) -> None:
    """By the first colon; with a folder before it, it is a path."""
    assert split_reference(text) == split


def test_the_name_itself_comes_first() -> None:
    """Whatever else ends like it."""
    exact = an_artifact("r.md")
    assert find_artifact("r.md", [an_artifact("out/r.md", sha256="b"), exact]) is exact


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("r.md", an_artifact("out/r.md")),
        ("out/r.md", an_artifact("r.md", "/p/out/r.md")),
    ],
)
def test_a_name_and_a_path_that_end_alike_are_the_same(
    name: str, recorded: Artifact
) -> None:
    """`wg artifact out/r.md` names it r.md; a promise names it as it was promised."""
    assert find_artifact(name, [recorded, an_artifact("other")]) is recorded


def test_what_could_be_two_files_is_none() -> None:
    """Nobody has said which; the same content twice is no question."""
    one, two = an_artifact("a/r.md"), an_artifact("b/r.md", sha256="b")
    same = an_artifact("c/r.md")
    assert find_artifact("r.md", [one, two]) is None
    assert find_artifact("r.md", [one, same]) is one
    assert find_artifact("md", [one]) is None


def test_a_copy_is_read_where_there_is_one() -> None:
    """Others are read where they lie, a path as seen from the consumer's folder."""
    kept = Input(ref="a:x", name="x", path="/p/x", sha256="5f", kept=True)
    large = Input(ref="a:x", name="x", path="/p/x", sha256="5f")
    plain = Input(ref="sub/x", name="sub/x", path="sub/x")

    paths = [one.read_path("/p/.wg", "/p/w") for one in (kept, large, plain)]

    assert paths == ["/p/.wg/artifacts/5f", "/p/x", "/p/w/sub/x"]
