"""Handlers of evaluators that are tried on known answers: the errands, the report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from workgraph.commands import judging, options
from workgraph.commands.context import Context
from workgraph.graph import rubric
from workgraph.graph.calibration import CanaryCase, Fit, interval, measure
from workgraph.graph.canaries import Canary, write_shown
from workgraph.graph.canary_requests import (
    CalibrationData,
    CanaryData,
    DriftData,
    GetCanaries,
    OverridesData,
)
from workgraph.graph.errands import Errand
from workgraph.graph.errors import UserError
from workgraph.graph.judging import CANARY
from workgraph.graph.model import DEFAULT_PRIORITY, Actor
from workgraph.graph.replies import Reply
from workgraph.graph.times import to_rfc3339
from workgraph.store import calibration, service
from workgraph.store.calibration import CanaryRun, Earlier, StoredCase

#: Of how many earlier runs the drift is told.
_MOST_EARLIER: Final = 10
#: It is neither calibrated nor being tried.
_NOT_CALIBRATED: Final = 1


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """What a run still waits for."""

    #: Cases without an answer that may still get one.
    pending: int
    #: Of these, the errands that nobody can be started on, and why.
    held: Mapping[str, str]


def begin_run(context: Context, cases: Sequence[Canary]) -> CanaryRun:
    """Gives the evaluator an errand for each case.

    It looks as one about real work does: its id is made from the task's title as that
    of an errand from the task's id, and its tag, its title and its limits are the same.

    Raises:
        UserError: There is no evaluator to ask, or a dimension is none.
    """
    tx, by = context.tx, context.caller.by
    evaluator = find_evaluator(context)
    run = CanaryRun(
        number=calibration.next_number(tx),
        actor=evaluator.name,
        actor_id=evaluator.id,
        rubric=rubric.RUBRIC,
        by=by,
        at=tx.now,
    )
    stored = [
        StoredCase(
            place=place,
            name=case.name,
            digest=case.digest,
            expected=case.score,
            dimensions=dict(rubric.check_dimensions(case.dimensions.items())),
            task=_add_errand(context, evaluator, case),
        )
        for place, case in enumerate(cases, start=1)
    ]
    calibration.insert_run(tx, run, stored)
    calibration.tell_begun(tx, run, len(stored))
    return run


def what_is_awaited(context: Context, run: int) -> Awaited:
    """What a run still waits for."""
    waiting = [one for one in calibration.cases(context.tx, run) if not one.settled]
    return Awaited(
        pending=len(waiting),
        held={one.task: one.parked.message for one in waiting if one.parked},
    )


def get_canaries(context: Context, request: GetCanaries) -> Reply:
    """How a run came out, as far as it has."""
    return report(context, request.run)


def report(context: Context, number: int | None) -> Reply:
    """How a run came out: exit status 0 where the evaluator is calibrated.

    Raises:
        NotFoundError: There is no such run.
    """
    tx = context.tx
    run = calibration.run_of(tx, number)
    cases = calibration.cases(tx, run.number)
    earlier = list(calibration.earlier(tx, run))
    before = {one.digest: one.score for one in earlier}
    measured = [calibration.as_case(one, before.get(one.digest)) for one in cases]
    fit = measure(measured)
    count, difference = calibration.overrides(tx, run.actor, run.rubric)
    data = CalibrationData(
        run=run.number,
        evaluator=run.actor,
        evaluator_id=run.actor_id,
        rubric=run.rubric,
        at=to_rfc3339(run.at),
        fit=fit,
        cases=tuple(map(_case_data, cases, measured)),
        drift=tuple(_drifts(cases, earlier)),
        overrides=OverridesData(count=count, difference=difference),
    )
    return Reply(data=data, exit_code=exit_code_of(fit))


def exit_code_of(fit: Fit) -> int:
    """The exit status that a report ends with."""
    return 0 if fit.calibrated else _NOT_CALIBRATED


def find_evaluator(context: Context) -> Actor:
    """Whom the settings name to judge.

    Raises:
        UserError: There is nobody who could be asked.
    """
    name = context.settings.agency.evaluator
    if not name:
        raise UserError(
            "there is no evaluator to try",
            hint="wg config set agency.evaluator NAME, with the name of an actor",
        )
    actor = service.actor_by_name(context.tx, name)
    if actor is None:
        raise UserError(
            f"[agency] evaluator names {name}, and there is no such actor",
            hint=f"wg actor add {name} --executor X, or wg config set agency.evaluator",
        )
    if actor.human:
        raise UserError(
            f"[agency] evaluator names {name}, who is a person",
            hint="wg config set agency.evaluator NAME, with one that can be started",
        )
    return actor


def _add_errand(context: Context, evaluator: Actor, case: Canary) -> str:
    errand = Errand(
        task="", kind="reward", part=CANARY, attempt=1, given=write_shown(case.shown)
    )
    # As if there was a task of that title: nothing tells that there is none.
    about = options.id_from_title(case.shown.task.title)
    return judging.add_errand(
        context.tx, about, DEFAULT_PRIORITY, errand, evaluator.name
    )


def _case_data(case: StoredCase, measured: CanaryCase) -> CanaryData:
    answer = case.answer
    answered = measured.answered
    return CanaryData(
        name=case.name,
        task=case.task,
        status=case.status,
        expected=case.expected,
        answered=answered,
        difference=None if answered is None else _rounded(answered - case.expected),
        given=answer.given if answer else None,
        expected_dimensions=case.dimensions,
        dimensions=answer.dimensions if answer else {},
        notes=answer.notes if answer else None,
        before=measured.before,
    )


def _drifts(cases: Iterable[StoredCase], earlier: list[Earlier]) -> list[DriftData]:
    """How the answers have moved since each of the last runs before."""
    now = {one.digest: one.answer.score for one in cases if one.answer is not None}
    moved: dict[int, dict[str, float]] = {}
    for one in earlier:
        if one.digest in now:
            found = moved.setdefault(one.run, {})
            found[one.digest] = now[one.digest] - one.score
    at = {one.run: one.at for one in earlier}
    return [
        DriftData(
            run=run,
            at=to_rfc3339(at[run]),
            cases=len(moved[run]),
            change=interval(list(moved[run].values())),
        )
        for run in sorted(moved, reverse=True)[:_MOST_EARLIER]
    ]


def _rounded(value: float) -> float:
    return round(value, rubric.DECIMALS)
