"""Whether a changed actor takes its parent's place: judged by the record alone. Pure.

A trial is looked at when so much more of the child's work has been judged, and never
because of time; so it goes on by itself while work goes on.
"""

from workgraph.graph.comparison import Comparison, Trial, TrialsView, compare
from workgraph.graph.decisions import JudgeTrial
from workgraph.graph.proposals import Look, ProposalStatus


def decide(view: TrialsView, now: int) -> list[JudgeTrial]:
    """What is found of the trials that are to be looked at, oldest first."""
    found = (_judge(trial, now) for trial in view.trials)
    return [decision for decision in found if decision is not None]


def _judge(trial: Trial, now: int) -> JudgeTrial | None:
    proposal = trial.proposal
    if trial.void is not None:
        return JudgeTrial(
            proposal=proposal.number,
            look=None,
            to=ProposalStatus.RETIRED,
            result=trial.void,
        )
    found = compare(trial.child, trial.parent, proposal.looked_at)
    if found is None:
        return None
    to = ProposalStatus.TRIAL
    if found.finding == "promote":
        to = ProposalStatus.PROMOTED
        if trial.needs_review:
            to = ProposalStatus.WAITING
    elif found.finding == "retire":
        to = ProposalStatus.RETIRED
    return JudgeTrial(
        proposal=proposal.number,
        look=Look(
            number=len(proposal.looks) + 1,
            at=now,
            child_count=found.child_count,
            child_mean=round(found.child_mean, 4),
            parent_count=found.parent_count,
            parent_mean=round(found.parent_mean, 4),
            probability=round(found.probability, 4),
        ),
        to=to,
        result=None if to is ProposalStatus.TRIAL else _in_words(found),
    )


def _in_words(found: Comparison) -> str:
    numbers = (
        f"{found.child_mean:.2f} over {found.child_count} against"
        f" {found.parent_mean:.2f} over {found.parent_count}"
    )
    if found.finding == "promote":
        return f"it does the work better with {found.probability:.1%}: {numbers}"
    return f"it is not shown to be better ({found.probability:.1%}): {numbers}"
