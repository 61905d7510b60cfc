"""A file of cases: read whole, or refused with the line and the remedy."""

import json
from typing import Any

import pytest

from workgraph.graph.canaries import (
    Shown,
    ShownResult,
    ShownTask,
    read_canaries,
    read_shown,
    write_shown,
)
from workgraph.graph.errors import UserError


def a_line(name: str = "good", score: float = 0.9, **more: Any) -> str:
    """A line of a file of cases."""
    case = {"name": name, "task": {"title": "Add"}, "result": {"summary": "did"}}
    return json.dumps(case | {"score": score} | more)


BAD = a_line("bad", 0.1)


def test_cases_are_read_in_their_order() -> None:
    """Blank lines are passed over."""
    good, bad = read_canaries(f"\ufeff{a_line(dimensions={'style': 1})}\n\n{BAD}\n")

    assert (good.name, good.score, good.dimensions) == ("good", 0.9, {"style": 1})
    assert good.shown == Shown(
        task=ShownTask(title="Add"), result=ShownResult(summary="did")
    )
    assert bad.name == "bad"
    assert good.digest == bad.digest
    assert read_shown(write_shown(good.shown)) == good.shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file has 0 cases"),
        (BAD, "the file has 1 cases"),
        (f"{BAD}\nno", "line 2: broken JSON: "),
        (f"\n{BAD}\n[]", "line 3: Expected `object`, got `array`"),
        (f"{BAD}\n{a_line(score=1.5)}", "line 2: Expected `float` <= 1.0"),
        (f"{BAD}\n{a_line(rate=1)}", "line 2: Object contains unknown field `rate`"),
        (f"{BAD}\n{a_line(name=' ')}", "line 2: name: from 1 to 200 characters"),
        (f"{BAD}\n{a_line(task={'title': ''})}", "line 2: task.title: it is empty"),
        (f"{BAD}\n{a_line(result={'outcome': 'x'})}", "line 2: result.outcome: 'x'"),
        (f"{BAD}\n{BAD}", "line 2: 'bad' is in line 1 already"),
        (f"{BAD}\n{a_line(score=0.11)}", "the known scores are all alike"),
        ("\n".join(a_line(str(n), n / 600) for n in range(501)), "the file has 501"),
    ],
)
def test_what_is_no_file_of_cases_is_refused(text: str, message: str) -> None:
    """With what is wrong and what helps."""
    with pytest.raises(UserError) as refused:
        read_canaries(text)

    assert refused.value.message.startswith(message)
    assert refused.value.hint
