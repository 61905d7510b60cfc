"""From what became of a process to the fact that the next tick is told."""

from msgspec.structs import replace

from workgraph.agents.process import Ended, Fate
from workgraph.graph.facts import AgentEnded
from workgraph.graph.model import Outcome


def fact_of(ended: Ended) -> AgentEnded:
    """What is known of how an agent ended."""
    return replace(_fact_of(ended), unread=ended.unread)


def _fact_of(ended: Ended) -> AgentEnded:
    match ended.fate:
        case Fate.EXITED if ended.detail:
            # The program is there and can't be run: the wrapper's shell said so.
            return AgentEnded(
                agent=ended.agent,
                exit_code=ended.exit_code,
                outcome=Outcome.SPAWN_FAILED,
                reason=ended.detail,
            )
        case Fate.EXITED:
            return AgentEnded(agent=ended.agent, exit_code=ended.exit_code)
        case Fate.SIGNALED:
            return AgentEnded(
                agent=ended.agent,
                signal=ended.signal,
                outcome=Outcome.CRASHED,
                reason=None if ended.signal else "killed by a signal",
            )
        case Fate.LOST:
            return AgentEnded(
                agent=ended.agent,
                outcome=Outcome.LOST,
                reason=ended.detail or "its process is gone, and nobody saw how",
            )
        case Fate.SHUT_OUT:
            return AgentEnded(
                agent=ended.agent, outcome=Outcome.SPAWN_FAILED, reason=ended.detail
            )
        case Fate.NEVER_STARTED:
            return AgentEnded(
                agent=ended.agent,
                outcome=Outcome.SPAWN_FAILED,
                reason=ended.detail or "nothing was started",
                never_started=True,
            )
