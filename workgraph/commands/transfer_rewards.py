"""Judgements, choices and errands out of the graph and into it, as lines of an export.

What is about an attempt that is not taken elsewhere stays behind with it: the next one
has its number. The sums of the record are not written: they are counted anew.
"""

from collections.abc import Collection, Iterator
from typing import Final, assert_never

import msgspec

from workgraph.commands.agency_lines import (
    AgencyLine,
    ChoiceLine,
    ErrandLine,
    RewardLine,
)
from workgraph.commands.canary_line import CanaryLine
from workgraph.commands.line_errors import bad_line
from workgraph.commands.transfer_canaries import CanaryBatch
from workgraph.commands.transfer_lines import read_moment, write_moment
from workgraph.graph.errands import Errand
from workgraph.graph.errors import UsageError
from workgraph.graph.rewards import Reward, is_source
from workgraph.graph.rubric import DECIMALS, RUBRIC, check_dimensions, score_of
from workgraph.store import rewards
from workgraph.store import transfer_agency as rows
from workgraph.store.database import Tx

__all__ = ["AgencyBatch", "AgencyLine", "CanaryLine", "agency_lines"]

_ID_DIGITS: Final = 64


def agency_lines(tx: Tx) -> Iterator[RewardLine | ChoiceLine | ErrandLine]:
    """Errands, choices and judgements, each by tasks in order."""
    live = rows.live_attempts(tx)
    yield from map(_errand_line, rows.every_errand(tx))
    for choice in rows.choices(tx):
        if (choice.task, choice.attempt) not in live:
            yield _choice_line(choice)
    for reward in rewards.every(tx):
        if (reward.task, reward.attempt) not in live:
            yield _reward_line(reward)


class AgencyBatch:
    """Those that come in: `take` each line, `settle` once, then `write`.

    Args:
        tx: The transaction.
        by: Who imports.
    """

    def __init__(self, tx: Tx, by: str) -> None:
        self._tx = tx
        self._by = by
        self._rewards: list[tuple[int, Reward]] = []
        self._choices: list[tuple[int, rows.StoredChoice]] = []
        self._errands: list[tuple[int, Errand]] = []
        self._canaries = CanaryBatch(tx)
        #: What each line is, so that none comes twice.
        self._keys: dict[tuple[object, ...], int] = {}

    def take(
        self, number: int, line: RewardLine | ChoiceLine | ErrandLine | CanaryLine
    ) -> None:
        """Takes a line, as far as it can be judged alone.

        Raises:
            UserError: A value can't be, or it is there twice.
        """
        match line:
            case CanaryLine():
                self._canaries.take(number, line)
                return
            case RewardLine():
                key: tuple[object, ...] = (line.task, line.attempt, line.source)
                self._rewards.append((number, self._reward(number, line)))
            case ChoiceLine():
                key = (line.task, line.attempt)
                self._choices.append((number, self._choice(number, line)))
            case ErrandLine():
                key = (line.task, "errand")
                self._errands.append((number, _errand(number, line)))
            case _ as never:
                assert_never(never)
        first = self._keys.setdefault(key, number)
        if first != number:
            raise bad_line(
                number, f"the same of {line.task} is in line {first} already"
            )

    def settle(
        self, tasks: Collection[str], attempts: Collection[tuple[str, int]]
    ) -> None:
        """Judges them against what comes in with them.

        Args:
            tasks: The tasks of this file.
            attempts: Its attempts, as (task, attempt).

        Raises:
            UserError: One is about what is not there.
        """
        for number, reward in self._rewards:
            _check_task(number, reward.task, tasks)
            if (reward.task, reward.attempt) not in attempts:
                what = f"attempt {reward.attempt} at {reward.task}"
                raise bad_line(number, f"{what} is not in this file")
        for number, choice in self._choices:
            _check_task(number, choice.task, tasks)
        for number, errand in self._errands:
            _check_task(number, errand.task, tasks)
            if errand.about is not None:
                _check_task(number, errand.about, tasks)
        self._canaries.settle(tasks)

    def write(self) -> None:
        """Writes all of them; tasks and attempts are there. The record is counted."""
        rows.insert_errands(self._tx, (one for _, one in self._errands))
        rows.insert_choices(self._tx, (one for _, one in self._choices))
        rewards.insert(self._tx, (one for _, one in self._rewards))
        self._canaries.write()

    def _reward(self, number: int, line: RewardLine) -> Reward:
        if not is_source(line.source):
            raise bad_line(number, f"source: {line.source!r} is no name for one")
        for name in ("actor_id", "role", "tradeoff"):
            value = getattr(line, name)
            if value is not None and len(value) != _ID_DIGITS:
                raise bad_line(number, f"{name}: {value!r} is no id")
        score = round(line.score, DECIMALS)
        try:
            dimensions = check_dimensions(line.dimensions.items())
            made, _ = score_of(line.source, line.score, dimensions)
        except UsageError as error:
            raise bad_line(number, error.message) from error
        if line.rubric == RUBRIC and made != score:
            raise bad_line(
                number, f"score: {score:g}, and its dimensions make {made:g}"
            )
        at = read_moment(number, "at", line.at, self._tx.now)
        return Reward(
            task=line.task,
            attempt=line.attempt,
            actor=line.actor,
            actor_id=line.actor_id,
            role=line.role,
            tradeoff=line.tradeoff,
            skills=line.skills,
            complexity=line.complexity,
            score=score,
            given=line.given,
            dimensions=dimensions,
            source=line.source,
            by=self._by if line.by is None else line.by,
            rubric=line.rubric,
            notes=line.notes,
            at=self._tx.now if at is None else at,
        )

    def _choice(self, number: int, line: ChoiceLine) -> rows.StoredChoice:
        _check_json(number, "candidates", line.candidates)
        at = read_moment(number, "at", line.at, self._tx.now)
        return rows.StoredChoice(
            task=line.task,
            attempt=line.attempt,
            actor=line.actor,
            propensity=line.propensity,
            greedy=line.greedy,
            candidates=line.candidates,
            at=self._tx.now if at is None else at,
        )


def _errand(number: int, line: ErrandLine) -> Errand:
    for name in ("given", "verdict"):
        value = getattr(line, name)
        if value is not None:
            _check_json(number, name, value)
    return Errand(
        task=line.task,
        kind=line.errand,
        about=line.about,
        attempt=line.attempt,
        part=line.part,
        given=line.given,
        verdict=line.verdict,
    )


def _check_task(number: int, task: str, tasks: Collection[str]) -> None:
    if task not in tasks:
        raise bad_line(number, f"the task {task!r} is not in this file")


def _check_json(number: int, name: str, text: str) -> None:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise bad_line(number, f"{name}: it is not JSON: {error}") from error


def _reward_line(reward: Reward) -> RewardLine:
    return RewardLine(
        task=reward.task,
        attempt=reward.attempt,
        source=reward.source,
        actor=reward.actor,
        actor_id=reward.actor_id,
        role=reward.role,
        tradeoff=reward.tradeoff,
        skills=reward.skills,
        complexity=reward.complexity,
        score=reward.score,
        given=reward.given,
        dimensions=reward.dimensions,
        rubric=reward.rubric,
        by=reward.by,
        notes=reward.notes,
        at=write_moment(reward.at),
    )


def _choice_line(choice: rows.StoredChoice) -> ChoiceLine:
    return ChoiceLine(
        task=choice.task,
        attempt=choice.attempt,
        actor=choice.actor,
        propensity=choice.propensity,
        greedy=choice.greedy,
        candidates=choice.candidates,
        at=write_moment(choice.at),
    )


def _errand_line(errand: Errand) -> ErrandLine:
    return ErrandLine(
        task=errand.task,
        errand=errand.kind,
        about=errand.about,
        attempt=errand.attempt,
        part=errand.part,
        given=errand.given,
        verdict=errand.verdict,
    )
