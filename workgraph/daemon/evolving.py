"""Trials of changed actors in the tick: what is judged of them, and what follows."""

from msgspec.structs import replace

from workgraph.commands import proposal_moves
from workgraph.commands.context import officials_of
from workgraph.daemon.launching import Host
from workgraph.graph.comparison import LEAST_OF_PARENT, Trial, TrialsView, is_due
from workgraph.graph.decisions import JudgeTrial
from workgraph.graph.evolution import (
    EvolutionView,
    find_subject,
    may_change,
    needs_review,
)
from workgraph.graph.proposals import Proposal, ProposalStatus
from workgraph.settings import Settings
from workgraph.store import evolution, proposals
from workgraph.store.database import Tx


def load(tx: Tx, settings: Settings) -> TrialsView:
    """The trials that are to be judged; without any, one question to an index."""
    running = proposals.on_trial(tx)
    if not running:
        return TrialsView()
    view: EvolutionView | None = None
    found: list[Trial] = []
    for proposal in running:
        void = _void(tx, proposal)
        if void is not None:
            found.append(Trial(proposal=proposal, void=void))
            continue
        assert proposal.child is not None
        child = proposals.judged(tx, proposal.child)
        if not is_due(proposal.looked_at, len(child)):
            continue
        names = officials_of(settings)
        view = view or evolution.view(tx, names, with_dimensions=False)
        found.append(
            Trial(
                proposal=proposal,
                child=tuple(one.score for one in child),
                parent=_scores_of_parent(tx, proposal),
                needs_review=_needs_review(proposal, view),
            )
        )
    return TrialsView(trials=tuple(found))


def judge_trial(tx: Tx, decision: JudgeTrial, host: Host) -> None:
    """Keeps what a look has found, and carries it out where it decides."""
    proposal = proposals.find(tx, decision.proposal)
    if decision.look is not None:
        proposal = replace(proposal, looks=(*proposal.looks, decision.look))
    if decision.to is ProposalStatus.TRIAL:
        proposals.update(tx, proposal)
        return
    settings = host.grounds.layered.settings
    result = decision.result or ""
    proposal_moves.judge(tx, proposal, decision.to, settings, result)


def _void(tx: Tx, proposal: Proposal) -> str | None:
    """Why nothing more can come of a trial: it would go on for ever.

    Proposals about people and about `default` are refused; a trial of theirs comes from
    an import, or from an actor that has become a person since.
    """
    child, parent = proposal_moves.both(tx, proposal)
    if child is None:
        return "the changed actor is not in use any more"
    if parent is None:
        return "its parent is not in use any more, as it was"
    if not may_change(parent):
        return f"{parent.name} is a person or the last resort: it stays as it is"
    if child.human:
        return "the changed actor is a person now"
    return None if proposal.share else "it has no share of any work"


def _scores_of_parent(tx: Tx, proposal: Proposal) -> tuple[float, ...]:
    """Of work begun since the trial did, filled up with the latest before."""
    judged = proposals.judged(tx, proposal.subject)
    began = proposal.started_at or 0
    since = sum(one.started_at >= began for one in judged)
    return tuple(one.score for one in judged[-max(since, LEAST_OF_PARENT) :])


def _needs_review(proposal: Proposal, view: EvolutionView) -> bool:
    """Whether it has come to be about an official while it was tried."""
    if proposal.approved_by is not None:
        return False
    child = find_subject(view, proposal.child or "")
    is_official = child is not None and child.actor.id in view.officials
    return is_official or needs_review(proposal, view)
