"""Proposals out of the graph and into it, as lines of an export."""

import re
from collections.abc import Iterator
from typing import Final

from workgraph.commands.agency_lines import LookRef, ProposalLine
from workgraph.commands.line_errors import bad_line, conflict_in
from workgraph.commands.transfer_lines import (
    check_depth,
    read_moment,
    write_moment,
)
from workgraph.graph.proposals import FIELDS, OPEN, Becomes, Look, Proposal
from workgraph.store import proposals
from workgraph.store.database import Tx

_ID: Final = re.compile(r"[0-9a-f]{64}")


def proposal_lines(tx: Tx) -> Iterator[ProposalLine]:
    """All proposals, oldest first."""
    for one in proposals.every(tx):
        yield ProposalLine(
            number=one.number,
            proposes=one.kind,
            subject=one.subject,
            change=one.change,
            evidence=one.evidence,
            reason=one.reason,
            by=one.by,
            status=one.status,
            created_at=write_moment(one.created_at),
            started_at=_written(one.started_at),
            ended_at=_written(one.ended_at),
            child=one.child,
            share=one.share,
            looks=tuple(
                LookRef(
                    number=look.number,
                    at=write_moment(look.at),
                    child_count=look.child_count,
                    child_mean=look.child_mean,
                    parent_count=look.parent_count,
                    parent_mean=look.parent_mean,
                    probability=look.probability,
                )
                for look in one.looks
            ),
            approved_by=one.approved_by,
            result=one.result,
        )


class ProposalBatch:
    """The proposals that come in: `take` each line, `settle` once, then `write`."""

    def __init__(self, tx: Tx, by: str) -> None:
        self._tx = tx
        self._by = by
        self._found: dict[int, tuple[int, Proposal]] = {}

    def take(self, number: int, line: ProposalLine) -> None:
        """Takes a line, as far as it can be judged alone.

        Raises:
            UserError: A value is not one that a proposal can have.
        """
        first = self._found.get(line.number)
        if first is not None:
            what = f"the proposal {line.number} is in line {first[0]} already"
            raise bad_line(number, what)
        check_depth(number, line.evidence)
        for name in ("subject", "child"):
            value = getattr(line, name)
            if value is not None and not _ID.fullmatch(value):
                raise bad_line(number, f"{name}: {value!r} is no id")
        for name in Becomes.__struct_fields__:
            is_given = getattr(line.change, name) is not None
            if is_given and name not in FIELDS[line.proposes]:
                raise bad_line(number, f"change: {name} is not of a {line.proposes}")
        created_at = self._moment(number, "created_at", line.created_at)
        proposal = Proposal(
            number=line.number,
            kind=line.proposes,
            subject=line.subject,
            change=line.change,
            evidence=line.evidence,
            reason=line.reason,
            by=self._by if line.by is None else line.by,
            status=line.status,
            created_at=self._tx.now if created_at is None else created_at,
            started_at=self._moment(number, "started_at", line.started_at),
            ended_at=self._moment(number, "ended_at", line.ended_at),
            child=line.child,
            share=line.share,
            looks=tuple(self._look(number, look) for look in line.looks),
            approved_by=line.approved_by,
            result=line.result,
        )
        if (proposal.ended_at is None) != (proposal.status in OPEN):
            raise bad_line(number, f"ended_at: it does not go with {line.status}")
        if proposal.status == "trial" and None in {
            proposal.child,
            proposal.share,
            proposal.started_at,
        }:
            what = "a trial has a child, a share and a started_at"
            raise bad_line(number, what)
        self._found[line.number] = (number, proposal)

    def settle(self) -> None:
        """Judges them against the graph.

        Raises:
            ConflictError: A number is taken.
        """
        taken = proposals.taken(self._tx, self._found)
        if taken:
            first = min(taken)
            what = f"there is another proposal {first}"
            raise conflict_in(self._found[first][0], what)

    def write(self) -> None:
        """Writes all of them."""
        found = sorted(self._found.items())
        proposals.insert(self._tx, (proposal for _, (_, proposal) in found))

    def _look(self, number: int, look: LookRef) -> Look:
        at = self._moment(number, "looks: at", look.at)
        return Look(
            number=look.number,
            at=self._tx.now if at is None else at,
            child_count=look.child_count,
            child_mean=look.child_mean,
            parent_count=look.parent_count,
            parent_mean=look.parent_mean,
            probability=look.probability,
        )

    def _moment(self, number: int, name: str, text: str | None) -> int | None:
        return read_moment(number, name, text, self._tx.now)


def _written(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)
