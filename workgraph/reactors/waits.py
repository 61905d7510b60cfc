"""Waits: which tasks in waiting go on, and which files are looked out for. Pure.

A task goes on when all terms of a branch are met at the same time. Each wait ends once,
because only a task in waiting is judged, and waking is what ends that.

An agent that waits again and again for what is there at once would never come to rest.
The first waits that are soon over are free; from then on the next attempt starts later
each time, as after a crash. Behind that stands the ceiling of starts.
"""

from typing import Final

from workgraph.graph.decisions import Decision, NoteWait, WakeTask, WatchPaths
from workgraph.graph.views import PatrolView, RetryPolicy
from workgraph.graph.waits import Wait, WaitState, is_met, met_branch, say_met

#: Waits in a row that may be over soon.
FREE: Final = 3
_MAX_DOUBLINGS: Final = 30


def decide(view: PatrolView, now: int) -> list[Decision]:
    """Wakes what has waited long enough, and keeps an eye on what is waited for."""
    decisions: list[Decision] = [
        _judge(state, view.policy, now) for state in view.waits
    ]
    if view.files is not None and view.files != view.watched:
        decisions.append(WatchPaths(paths=view.files))
    return decisions


def quick_after(last: Wait | None, policy: RetryPolicy) -> int:
    """How many waits in a row come right after ones that were soon over.

    Args:
        last: What the task has waited for before.
        policy: What is soon.
    """
    if last is None or last.woken_at is None:
        return 0
    soon = last.woken_at - last.since < policy.backoff.micros
    return last.quick + 1 if soon else 0


def may_start_at(wait: Wait, policy: RetryPolicy, now: int) -> int | None:
    """When the next attempt may start after a wait that is over; null: at once."""
    if wait.quick < FREE or now - wait.since >= policy.backoff.micros:
        return None
    gap = policy.backoff.micros << min(wait.quick - FREE, _MAX_DOUBLINGS)
    at = wait.since + min(gap, policy.backoff_max.micros)
    return at if at > now else None


def _judge(state: WaitState, policy: RetryPolicy, now: int) -> Decision:
    wait = state.wait
    met = tuple(
        place for place, term in enumerate(wait.terms) if is_met(term, state, now)
    )
    branch = met_branch(state, now)
    if branch is None:
        return NoteWait(task=wait.task, met=met)
    return WakeTask(
        task=wait.task,
        met=met,
        reason="; ".join(say_met(term, state) for term in branch),
        retry_at=None if state.human else may_start_at(wait, policy, now),
    )
