"""What attempts were told: the blocks of their prompts, and what they have read."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from workgraph.graph.context_view import Compiled, Given, KeptPrompt
from workgraph.store.database import Tx
from workgraph.store.rows import encode

INSERT: Final = "insert into prompts (agent, blocks) values (?, ?)"
OF_AGENT: Final = "select blocks from prompts where agent = ?"
#: What agents of a session were told, and on which tasks.
OF_SESSION: Final = """
select g.number, g.task, p.blocks
from agents g indexed by agents_session left join prompts p on p.agent = g.number
where g.session = ? order by g.number
"""
OF_ENDED: Final = """
select p.agent, p.blocks
from prompts p join agents a on a.number = p.agent join tasks t on t.id = a.task
where a.status = 'ended' and (
        a.concluded = 1 or t.claimed_by is not 'agent-' || a.number)
order by p.agent
"""
_decode: Final = msgspec.json.Decoder(KeptPrompt).decode


def keep(tx: Tx, agent: int, compiled: Compiled) -> None:
    """Writes down what an attempt is told."""
    kept = KeptPrompt(
        limit=compiled.limit, tokens=compiled.tokens, blocks=compiled.blocks
    )
    tx.run(INSERT, (agent, encode(kept).decode()))


def find(tx: Tx, agent: int) -> KeptPrompt | None:
    """What an attempt was told; null where it was none's business, or is not known."""
    blocks = tx.value(OF_AGENT, (agent,))
    return None if blocks is None else _decode(blocks)


def given(tx: Tx, session: str, task: str) -> Given | None:
    """What a session was given so far; null for none."""
    if not session:
        return None
    agents: list[int] = []
    pieces: set[str] = set()
    same_task = False
    for number, of, blocks in tx.rows(OF_SESSION, (session,)):
        agents.append(number)
        same_task = same_task or of == task
        if blocks is not None:
            pieces.update(p for told in _decode(blocks).blocks for p in told.pieces)
    return Given(
        session=session,
        same_task=same_task,
        pieces=frozenset(pieces),
        agents=frozenset(agents),
    )


def of_ended(tx: Tx) -> Iterator[tuple[int, KeptPrompt]]:
    """What all attempts that are over were told, oldest first."""
    for number, blocks in tx.rows(OF_ENDED):
        yield number, _decode(blocks)


def insert(tx: Tx, new: Iterable[tuple[int, KeptPrompt]]) -> None:
    """Adds what attempts were told that are there."""
    tx.many(INSERT, ((number, encode(kept).decode()) for number, kept in new))
