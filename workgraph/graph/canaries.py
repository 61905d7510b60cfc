"""Cases with known answers, which an evaluator is tried on: a file of them, read."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from msgspec import Meta, field

from workgraph.graph.calibration import are_alike
from workgraph.graph.errors import UserError
from workgraph.graph.inputs import Input
from workgraph.graph.judged_view import Judged, Note
from workgraph.graph.model import Record

#: Too few show nothing, and each costs a run of the evaluator.
LEAST_CASES: Final = 2
MOST_CASES: Final = 500
_MOST_NAME: Final = 200
_HINT: Final = (
    'a line is {"name": …, "task": {"title": …}, "result": {…}, "score": 0.8}'
)

Score = Annotated[float, Meta(ge=0, le=1)]


class _Shape(
    Record, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What is left out is not written, so that new fields change no digest."""


class ShownTask(_Shape, frozen=True, kw_only=True):
    """The task of a case, as the evaluator is shown it."""

    title: str
    description: str = ""
    prompt: str = ""
    tags: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()


class ShownArtifact(_Shape, frozen=True, kw_only=True):
    """A file that the work of a case has left."""

    name: str
    text: str = ""


class ShownGate(_Shape, frozen=True, kw_only=True):
    """What a gate said of the work of a case."""

    passed: bool
    text: str = ""


class ShownResult(_Shape, frozen=True, kw_only=True):
    """What came of the work of a case."""

    #: `done` or `failed`, and why it failed.
    outcome: str = "done"
    reason: str = ""
    summary: str = ""
    #: What was logged, entry by entry.
    log: tuple[str, ...] = ()
    #: The end of what its agent has printed.
    output: str = ""
    artifacts: tuple[ShownArtifact, ...] = ()
    diff: str = ""
    gates: tuple[ShownGate, ...] = ()
    #: Numbers that tell how it went.
    figures: tuple[str, ...] = ("attempt 1",)


class Shown(_Shape, frozen=True, kw_only=True):
    """A case without its answer: what the evaluator may see of it."""

    task: ShownTask
    result: ShownResult


class Canary(Record, frozen=True, kw_only=True):
    """A case with its known answer."""

    name: str
    shown: Shown
    score: float
    dimensions: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Tells whether another run had the same case, whatever it was called."""
        return sha256(_encode(self.shown)).hexdigest()


class _Line(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    task: ShownTask
    result: ShownResult
    score: Score
    dimensions: Mapping[str, Score] = field(default_factory=dict)


_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(_Line).decode
_decode_shown: Final = msgspec.json.Decoder(Shown).decode


def read_canaries(text: str) -> tuple[Canary, ...]:
    """The cases of a file: JSON lines, blank ones passed over.

    Raises:
        UserError: A line is no case, or together they show nothing; it says which.
    """
    found: dict[str, tuple[int, Canary]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        case = _case(number, line)
        first = found.setdefault(case.name, (number, case))[0]
        if first != number:
            raise _bad(number, f"{case.name!r} is in line {first} already", "rename it")
    cases = tuple(case for _, case in found.values())
    if not LEAST_CASES <= len(cases) <= MOST_CASES:
        raise UserError(
            f"the file has {len(cases)} cases",
            hint=f"from {LEAST_CASES} to {MOST_CASES}, one a line; {_HINT}",
        )
    if are_alike([case.score for case in cases]):
        raise UserError(
            "the known scores are all alike: whoever always says that would pass",
            hint="add cases of bad work and of good work",
        )
    return cases


def write_shown(shown: Shown) -> str:
    """What the evaluator may see of a case, as JSON."""
    return _encode(shown).decode()


def read_shown(text: str) -> Shown:
    """What `write_shown` has written."""
    return _decode_shown(text)


def judged_case(
    task: str, shown: Shown, part: str, wrong: tuple[str, ...] = ()
) -> Judged:
    """A case as an attempt at real work is shown, its files as copies under their hash.

    Args:
        task: The id that the task is called by.
        shown: What may be seen of it.
        part: Which part of an evaluator's work it is taken for.
        wrong: What was wrong with the answers before this one.
    """
    asked, came = shown.task, shown.result
    return Judged(
        part=part,
        task=task,
        attempt=1,
        agent=0,
        title=asked.title,
        description=asked.description,
        prompt=asked.prompt,
        tags=asked.tags,
        skills=asked.skills,
        outputs=asked.outputs,
        verify=asked.verify,
        outcome=came.outcome,
        reason=came.reason or None,
        summary=came.summary or None,
        said=came.output or None,
        figures=came.figures,
        diff=came.diff or None,
        gates=tuple(
            Note(by="passed" if gate.passed else "failed", text=gate.text)
            for gate in came.gates
        ),
        notes=tuple(Note(by="agent", text=text) for text in came.log),
        artifacts=tuple(
            Input(
                ref=f"{task}:{one.name}",
                producer=task,
                name=one.name,
                path=one.name,
                sha256=sha256(one.text.encode()).hexdigest(),
                size=len(one.text.encode()),
                kept=True,
            )
            for one in came.artifacts
        ),
        wrong=wrong,
    )


def _case(number: int, line: str) -> Canary:
    try:
        read = _decode(line)
    except msgspec.ValidationError as error:
        raise _bad(number, str(error), _HINT) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _bad(number, f"broken JSON: {error}", _HINT) from error
    if not read.name.strip() or len(read.name) > _MOST_NAME:
        what = f"name: from 1 to {_MOST_NAME} characters"
        raise _bad(number, what, "give it a name that the report can show")
    if not read.task.title.strip():
        raise _bad(number, "task.title: it is empty", "say what was to be done")
    if read.result.outcome not in {"done", "failed"}:
        what = f"result.outcome: {read.result.outcome!r}"
        raise _bad(number, what, "it is done or failed")
    return Canary(
        name=read.name,
        shown=Shown(task=read.task, result=read.result),
        score=read.score,
        dimensions=read.dimensions,
    )


def _bad(number: int, what: str, hint: str) -> UserError:
    return UserError(f"line {number}: {what}", hint=hint)
