"""What a client's stream has said, as it is written down."""

from msgspec.structs import replace

from workgraph.agents.redact import redact, secrets_in
from workgraph.agents.talk import NOT_THE_MESSAGES
from workgraph.daemon import spending
from workgraph.daemon.launching import Host
from workgraph.graph.ends import Report, wait_of
from workgraph.graph.model import Agent, ClientEnd
from workgraph.store import agent_reads, clients
from workgraph.store.database import Tx


def note_report(tx: Tx, number: int, report: Report, host: Host) -> None:
    """Keeps what a stream has said, and by when the client has to leave for it."""
    agent = agent_reads.by_number(tx, number)
    report = spending.priced(agent, _without_secrets(report, host), host)
    clients.note_report(tx, agent, report, _leave_by(tx, agent, report, host))


def _leave_by(tx: Tx, agent: Agent, report: Report, host: Host) -> int | None:
    """When a client is ended for what it says; null: not for that.

    Who has said its last word has the grace of `kill_grace`, but for who is kept open
    for a chat, and has ended a turn; who tries again by itself
    has `client_patience` from its first try on, and nothing where the provider has
    named a later moment.
    """
    if agent.stop is not None or agent.ended_at is not None:
        return None
    settings = host.grounds.layered.settings.agents
    if report.end is not None and clients.is_kept_open(tx, agent.number):
        # It waits for the next message, unless that would fare no better.
        return tx.now if report.end.kind in NOT_THE_MESSAGES else None
    if report.end is not None:
        known = agent.client_until if agent.client_end is not None else None
        return known or tx.now + settings.kill_grace.micros
    if report.trouble is None:
        return None
    if wait_of(report.trouble, tx.now) > settings.client_patience.micros:
        return tx.now
    known = agent.client_until if agent.trouble is not None else None
    return known or tx.now + settings.client_patience.micros


def _without_secrets(report: Report, host: Host) -> Report:
    """An agent may print what it was given: its words are kept without that."""
    secrets = secrets_in(host.grounds.host.env)

    def hide(text: str | None) -> str | None:
        return None if text is None else redact(text, secrets)

    def hide_in(end: ClientEnd | None) -> ClientEnd | None:
        return end and replace(end, message=redact(end.message, secrets))

    return replace(
        report,
        tool=hide(report.tool),
        said=hide(report.said),
        denied=tuple(redact(text, secrets) for text in report.denied),
        trouble=hide_in(report.trouble),
        end=hide_in(report.end),
    )
