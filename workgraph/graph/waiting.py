"""Why a task in waiting is not running: what it waits for, met or not."""

from workgraph.graph.reasons import Reason
from workgraph.graph.times import to_rfc3339
from workgraph.graph.waits import Term, WaitState, is_met, say_met, unsatisfiable


def explain_wait(state: WaitState, now: int) -> tuple[Reason, ...]:
    """One reason for each thing that is waited for, met or not."""
    wait = state.wait
    since = f"since {to_rfc3339(wait.since)}"
    many = len(wait.terms) > 1
    reasons = [_waits_until(term, state, now, since) for term in wait.terms]
    if many:
        whole = Reason(
            code="waiting_for",
            message=f"it waits {since} until {wait.condition}",
            remedy=f"wg resume {wait.task} lets it go on now",
        )
        reasons.insert(0, whole)
    return tuple(reasons)


def _waits_until(term: Term, state: WaitState, now: int, since: str) -> Reason:
    task = state.wait.task
    go_on = f"wg resume {task} lets it go on now"
    if is_met(term, state, now):
        met = f"since {to_rfc3339(term.met_at)}" if term.met_at else "now"
        return Reason(
            code="waiting_for",
            message=f"{say_met(term, state)}: met {met}",
            remedy="nothing to do",
        )
    match term.kind:
        case "task":
            status = state.statuses.get(term.target)
            never = unsatisfiable(term, status)
            message = never or (
                f"it waits {since} for {term.target} to be {term.status};"
                f" that is {status}"
            )
            remedy = f"wg why {term.target}; {go_on}"
            if never is not None:
                remedy = f"wg retry {term.target}, or {go_on}"
        case "timer":
            message = f"it waits {since} until {to_rfc3339(term.due or 0)}"
            remedy = f"wait; {go_on}"
        case "message":
            message = f"it waits {since} for a message"
            remedy = f"wg msg {task} TEXT; {go_on}"
        case "file":
            message = f"it waits {since} for {term.target} to be there"
            remedy = f"make it; {go_on}"
        case "answer":
            message = f"it has asked {since}: {state.question}"
            remedy = f"wg answer {task} TEXT; {go_on}"
    return Reason(code="waiting_for", message=message, remedy=remedy)
