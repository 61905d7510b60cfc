"""The verdicts of errands: asked for after the commit, taken when they are there."""

from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from workgraph.commands import evolver, judging
from workgraph.commands.context import officials_of
from workgraph.daemon import assigning
from workgraph.daemon.hiding import hide_secrets
from workgraph.daemon.launching import Host
from workgraph.daemon.orders import Effect, ReadAnswer
from workgraph.graph.decisions import JudgeGates
from workgraph.graph.errands import GATE, Errand
from workgraph.graph.facts import GatesJudged
from workgraph.settings import Settings
from workgraph.store import agent_reads, errands, reads
from workgraph.store import judging as store
from workgraph.store.database import Tx


def ask(tx: Tx, decision: JudgeGates, host: Host) -> list[Effect]:
    """Has the answer of an errand read, from the output of whoever has worked on it."""
    task = reads.task(tx, decision.task)
    agent = agent_reads.by_id(tx, task.last_agent) if task.last_agent else None
    number = None if agent is None or agent.human else agent.number
    return [
        ReadAnswer(
            task=task.id,
            agent=number,
            folder="" if number is None else host.folder(number),
            stream="text" if number is None else store.stream_of(tx, number),
            handed_in=decision.handed_in,
        )
    ]


def judge(tx: Tx, fact: GatesJudged, host: Host) -> GatesJudged:
    """Takes an answer, or says what is wrong with it; the gate goes by that."""
    errand = errands.find(tx, fact.task)
    if errand is None or errand.verdict is not None:
        return fact
    wrong: str | None
    if fact.agent is None:
        wrong = "no agent has worked on it whose output could be read"
    elif fact.answer is None:
        wrong = (
            "the output does not end with a line that is a JSON object, as it was"
            " asked for"
        )
    else:
        answer = hide_secrets(host.grounds)(fact.answer)
        wrong = _take(tx, errand, answer, host.grounds.layered.settings)
    if wrong is None:
        return fact
    return replace(fact, failed=GATE, evidence=wrong)


def _take(tx: Tx, errand: Errand, answer: str, settings: Settings) -> str | None:
    """What is wrong with an answer; null: it was taken."""
    match errand.kind:
        case "reward":
            return judging.take_verdict(tx, errand, answer, settings)
        case "evolution":
            return evolver.take_verdict(tx, errand, answer, settings)
        case "assignment":
            said = msgspec.json.decode(answer, type=dict[str, Any])
            return assigning.take_assignment(tx, errand, said, officials_of(settings))
        case _:
            assert_never(errand.kind)
