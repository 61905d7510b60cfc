"""What a client says of itself in its stream: what it does, what it cost, how it ended.

A stream is read while the agent runs. What it says of its end decides before its exit
status does, because clients exit with 0 after an error, and with 1 for anything.
"""

from enum import StrEnum

from workgraph.graph.model import Record, Usage


class EndKind(StrEnum):
    """How a client's run ended, as its stream or its last words tell."""

    #: It has said all that it had to say.
    FINISHED = "finished"
    #: It has finished, and something that it wanted to do was not allowed.
    DENIED = "denied"
    #: No login, no key, a key that is refused, nothing paid.
    AUTH = "auth"
    #: A rate limit or a quota of the provider.
    LIMITED = "limited"
    #: The provider can't answer, or answers with nonsense.
    OVERLOADED = "overloaded"
    #: The provider can't be reached.
    NETWORK = "network"
    #: The conversation is longer than the model can take.
    TOO_LONG = "too-long"
    #: A model, flag or setting that the client does not take.
    MISCONFIGURED = "misconfigured"
    #: The session that it was to go on with is not there.
    NO_SESSION = "no-session"
    #: A limit of turns or cost that the client itself was given.
    OWN_LIMIT = "own-limit"
    #: Anything else that it says has gone wrong.
    FAILED = "failed"


class ClientEnd(Record, frozen=True, kw_only=True):
    """The end of a run, or what the client is trying to get over just now."""

    kind: EndKind
    #: In the client's own words, one line.
    message: str
    #: When the provider takes requests again, if it has named a moment.
    retry_at: int | None = None
    #: After how many seconds, if it has named a time from then on.
    retry_after_s: float | None = None


class Report(Record, frozen=True, kw_only=True):
    """All that a stream has said so far; absent is what it has not said."""

    #: What the client calls its conversation, to go on with it later.
    session: str | None = None
    #: The model that answers.
    model: str | None = None
    #: What this run has used so far.
    usage: Usage = Usage()
    #: A model has answered, at least once.
    answered: bool = False
    #: The tool that it uses just now, in a few words.
    tool: str | None = None
    #: The last message in plain words, cut to a kilobyte.
    said: str | None = None
    #: What was not allowed, each in a few words.
    denied: tuple[str, ...] = ()
    #: What it tries again just now by itself; null when it has got over it.
    trouble: ClientEnd | None = None
    #: How it ended; null while it goes on.
    end: ClientEnd | None = None
