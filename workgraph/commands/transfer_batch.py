"""What an import brings, gathered and checked as a whole before any of it is written.

Lines come in any order, so what one says of another is looked at when all are there:
ids against the file and the graph, dependencies, cycles, attempts, the log. The counts
that are kept with tasks (`unmet`, `chain`) are made here, for the whole set at once.
"""

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from workgraph.commands import options
from workgraph.commands.message_line import MessageLine
from workgraph.commands.transfer_lines import (
    ActorLine,
    AgentLine,
    EdgeLine,
    Line,
    LogLine,
    PromptLine,
    RoleLine,
    TaskLine,
    TradeoffLine,
    bad_line,
)
from workgraph.commands.transfer_messages import MessageBatch
from workgraph.commands.transfer_rows import (
    agent_row,
    artifact_rows,
    is_id,
    log_change,
    spend_rows,
    stored_identity,
    task_row,
    waits_of,
)
from workgraph.graph import topology
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.context_view import KeptPrompt
from workgraph.graph.errors import ConflictError, NotFoundError, UserError
from workgraph.graph.model import EdgeKind, parse_agent_id
from workgraph.graph.status import MEETS, SETTLED, Status
from workgraph.store import edges, prompts, reads, transfer
from workgraph.store.database import Tx
from workgraph.store.transfer import (
    NewAgentRow,
    NewRow,
    Placed,
    StoredArtifact,
    StoredIdentity,
    StoredSpend,
)

#: Agents' numbers go on above those that come in, so there has to be room.
HIGHEST_AGENT: Final = 10**12
_ADVICE: Final = "nothing was imported: mend the line and say it again"


class Batch:
    """All that comes in: `take` each line, `settle` once, then `write`.

    Args:
        tx: The transaction.
        by: Who imports.
    """

    def __init__(self, tx: Tx, by: str) -> None:
        self.warnings: list[str] = []
        self.log_count = 0
        self.edge_count = 0
        self._tx = tx
        self._by = by
        #: Tasks by the number of their line, which is their order.
        self._rows: dict[int, NewRow] = {}
        self._titles: dict[int, str] = {}
        self._line_of: dict[str, int] = {}
        self._waits: dict[str, dict[str, EdgeKind]] = {}
        self._artifacts: list[tuple[str, StoredArtifact]] = []
        self._unnamed: list[tuple[int, TaskLine]] = []
        self._edge_lines: list[tuple[int, EdgeLine]] = []
        #: Edges of tasks that are in the graph already.
        self._links: list[tuple[int, EdgeLine]] = []
        self._agents: dict[int, tuple[int, NewAgentRow]] = {}
        self._spend: list[StoredSpend] = []
        self._prompts: list[tuple[int, PromptLine]] = []
        #: What attempts were told, by their numbers.
        self._told: dict[int, KeptPrompt] = {}
        self._messages = MessageBatch(tx, by)
        self._log: list[tuple[int, Change]] = []
        self._identities: dict[str, tuple[int, StoredIdentity]] = {}
        #: Ids and names of identities, with their lines.
        self._marks: dict[str, int] = {}
        #: Agents that something names, with the line that does.
        self._mentions: dict[str, int] = {}
        self._highest_agent = 0
        self._placed = Placed(unmet={}, chain={}, last_agent={})
        self._least_chains: dict[str, int] = {}

    @property
    def task_count(self) -> int:
        """How many tasks come in."""
        return len(self._rows)

    @property
    def identity_count(self) -> int:
        """How many actors, roles and tradeoffs come in that are not there."""
        return len(self._identities)

    def take(self, number: int, line: Line) -> None:
        """Takes a line, as far as it can be judged alone."""
        match line:
            case TaskLine():
                if line.id is None:
                    self._unnamed.append((number, line))
                else:
                    self._take_task(number, line.id, line)
            case EdgeLine():
                self._edge_lines.append((number, line))
            case AgentLine():
                self._take_agent(number, line)
            case PromptLine():
                self._prompts.append((number, line))
            case MessageLine():
                message = self._messages.take(number, line)
                self._mention(number, message.agent)
                self._mention(number, message.by)
            case LogLine():
                change = log_change(number, line, self._by, self._tx.now)
                self._log.append((number, change))
                self._mention(number, change.agent)
                self._mention(number, change.by)
            case ActorLine() | RoleLine() | TradeoffLine():
                self._take_identity(number, stored_identity(number, line))
            case _ as never:
                assert_never(never)

    def settle(self) -> None:
        """Judges the whole: ids, dependencies, cycles; counts what is kept with tasks.

        Raises:
            UserError: A line does not fit the others.
            NotFoundError: A dependency is nowhere.
            ConflictError: An id is taken.
        """
        self._name_the_unnamed()
        known = transfer.known_tasks(self._tx, self._all_ids())
        for task, number in self._line_of.items():
            if task in known:
                raise _conflict(number, f"there is a task {task} already")
        self._settle_edges(known)
        self._settle_identities()
        self._settle_history()
        self._place(known)

    def write(self) -> None:
        """Writes all of it, and one row that says so to the change log."""
        tx = self._tx
        rows = [self._rows[number] for number in sorted(self._rows)]
        for _, identity in self._identities.values():
            transfer.insert_identity(tx, identity)
        transfer.insert_tasks(tx, rows, self._placed)
        transfer.insert_edges(
            tx,
            sorted(
                (task, dep, kind)
                for task, waits in self._waits.items()
                for dep, kind in waits.items()
            ),
        )
        transfer.insert_artifacts(tx, self._artifacts)
        transfer.insert_agents(tx, (row for _, row in self._agents.values()))
        transfer.insert_spend(tx, self._spend)
        prompts.insert(tx, self._told.items())
        self._messages.write()
        if self._highest_agent:
            transfer.pass_agent_number(tx, self._highest_agent)
        transfer.insert_changes(tx, (change for _, change in self._log))
        transfer.insert_changes(tx, self._added())
        transfer.raise_chains(tx, self._least_chains)
        for number, link in self._links:
            self._write_link(number, link)
        self.edge_count += sum(map(len, self._waits.values()))
        self.log_count = len(self._log)
        tx.emit(
            ChangeKind.GRAPH_IMPORTED,
            by=self._by,
            reason=f"{self.task_count} tasks, {self.edge_count} edges",
        )

    def _take_task(self, number: int, task: str, line: TaskLine) -> None:
        if not is_id(task):
            raise bad_line(number, f"{task!r} is not an id")
        if task in self._line_of:
            first = self._line_of[task]
            raise bad_line(number, f"the id {task} is in line {first} already")
        self._line_of[task] = number
        self._rows[number] = task_row(number, task, line, self._tx.now)
        self._titles[number] = line.title
        if waits := waits_of(number, line):
            self._waits[task] = waits
        self._mention(number, line.added_by)
        if line.artifacts:
            for artifact in artifact_rows(number, line, self._tx.now):
                self._artifacts.append((task, artifact))
                self._mention(number, artifact.agent)

    def _take_agent(self, number: int, line: AgentLine) -> None:
        row = agent_row(number, line, self._tx.now)
        if row.number > HIGHEST_AGENT:
            raise bad_line(number, f"the number of {line.id} is too high")
        if row.number in self._agents:
            first = self._agents[row.number][0]
            raise bad_line(number, f"the id {line.id} is in line {first} already")
        self._agents[row.number] = (number, row)
        self._spend.extend(spend_rows(number, line, row))

    def _take_identity(self, number: int, identity: StoredIdentity) -> None:
        for mark in (identity.id, f"{identity.kind} {identity.name}"):
            first = self._marks.setdefault(mark, number)
            if first != number:
                what = f"{identity.kind} {identity.name!r} is in line {first} already"
                raise bad_line(number, f"the {what}")
        self._identities[identity.id] = (number, identity)

    def _mention(self, number: int, agent: str | None) -> None:
        if agent is not None:
            self._mentions.setdefault(agent, number)

    def _name_the_unnamed(self) -> None:
        """Makes ids from titles as `wg add` does, around all that are given."""
        last: dict[str, int] = {}
        for number, line in self._unnamed:
            slug = options.id_from_title(line.title)
            count = last.get(slug, 0) + 1
            candidate = slug if count == 1 else options.numbered(slug, count)
            while candidate in self._line_of or reads.is_taken(self._tx, candidate):
                count += 1
                candidate = options.numbered(slug, count)
            last[slug] = count
            self._take_task(number, candidate, line)
        self._unnamed.clear()

    def _all_ids(self) -> set[str]:
        ids = set(self._line_of)
        for waits in self._waits.values():
            ids.update(waits)
        for _, line in self._edge_lines:
            ids.update((line.task, line.after))
        return ids

    def _settle_edges(self, known: Mapping[str, tuple[Status, int]]) -> None:
        for number, line in self._edge_lines:
            if line.task in self._line_of:
                waits = self._waits.setdefault(line.task, {})
                if waits.setdefault(line.after, line.on) != line.on:
                    what = f"{line.task} waits for {line.after} in another way already"
                    raise bad_line(number, what)
            elif line.task in known:
                if known[line.task][0] in SETTLED - {Status.FAILED}:
                    what = (
                        f"{line.task} is {known[line.task][0]}: an edge has no effect"
                    )
                    raise bad_line(number, what)
                self._links.append((number, line))
            else:
                raise _missing(number, line.task)
            if line.after not in self._line_of and line.after not in known:
                raise _missing(number, line.after)
        for task, waits in self._waits.items():
            for dep in waits:
                if dep not in self._line_of and dep not in known:
                    raise _missing(self._line_of[task], dep)

    def _settle_identities(self) -> None:
        """An identity that is there is the same one, and stays as it is here."""
        here = list(transfer.identities(self._tx))
        by_id = {identity.id: identity for identity in here}
        names = {(identity.kind, identity.name) for identity in here}
        for number, new in list(self._identities.values()):
            same = by_id.get(new.id)
            if same is not None and same.kind == new.kind:
                if same.record != new.record:
                    self.warnings.append(
                        f"the {same.kind} {same.name!r} is there already with other"
                        f" settings (line {number}): left as it is here"
                    )
                del self._identities[new.id]
            elif same is not None or (new.kind, new.name) in names:
                raise _conflict(number, f"there is another {new.kind} {new.name!r}")

    def _settle_history(self) -> None:
        for number, change in self._log:
            if change.task not in self._line_of:
                raise bad_line(number, f"the task {change.task!r} is not in this file")
        attempts: dict[tuple[str, int], int] = {}
        for number, row in self._agents.values():
            if row.task not in self._line_of:
                raise bad_line(number, f"the task {row.task!r} is not in this file")
            first = attempts.setdefault((row.task, row.attempt), number)
            if first != number:
                what = f"attempt {row.attempt} of {row.task} is in line {first} already"
                raise bad_line(number, what)
        self._settle_prompts()
        tasks_of = {row.number: row.task for _, row in self._agents.values()}
        message_line = self._messages.settle(self._line_of, tasks_of)
        if message_line is not None:
            raise _conflict(message_line, "there is another message of this number")
        lines = {number: line for number, (line, _) in self._agents.items()}
        for agent, line in self._mentions.items():
            mentioned = parse_agent_id(agent)
            if mentioned is not None and mentioned <= HIGHEST_AGENT:
                lines.setdefault(mentioned, line)
        self._mentions.clear()
        taken = transfer.taken_agents(self._tx, lines)
        if taken:
            first = min(taken)
            raise _conflict(lines[first], f"there is another agent-{first}")
        self._highest_agent = max(lines, default=0)

    def _settle_prompts(self) -> None:
        for number, line in self._prompts:
            agent = parse_agent_id(line.agent)
            if agent is None or agent not in self._agents:
                raise bad_line(number, f"{line.agent!r} is not an agent of this file")
            if agent in self._told:
                raise bad_line(number, f"{line.agent} has been told something already")
            self._told[agent] = KeptPrompt(
                limit=line.limit, tokens=line.tokens, blocks=line.blocks
            )

    def _place(self, known: Mapping[str, tuple[Status, int]]) -> None:
        ids = [row.id for row in self._rows.values()]
        dependencies = {task: tuple(waits) for task, waits in self._waits.items()}
        order, cycle = topology.sort_topologically(ids, dependencies)
        if cycle:
            shown = topology.show_cycle(cycle)
            what = f"{cycle[0]} would wait for itself: {shown}"
            raise bad_line(self._line_of[cycle[0]], what)
        chain = topology.chains(order, dependencies)
        statuses = {row.id: row.status for row in self._rows.values()}
        unmet: dict[str, int] = {}
        for task, waits in self._waits.items():
            open_ones = 0
            for dep, kind in waits.items():
                if dep not in statuses:
                    least = max(self._least_chains.get(dep, 0), chain[task] + 1)
                    self._least_chains[dep] = least
                status = statuses[dep] if dep in statuses else known[dep][0]
                open_ones += status not in MEETS[kind]
            if open_ones:
                unmet[task] = open_ones
        last: dict[str, NewAgentRow] = {}
        for _, row in self._agents.values():
            if row.task not in last or last[row.task].attempt < row.attempt:
                last[row.task] = row
        self._placed = Placed(
            unmet=unmet,
            chain=chain,
            last_agent={task: f"agent-{row.number}" for task, row in last.items()},
        )

    def _added(self) -> Iterator[Change]:
        told = {change.task for _, change in self._log}
        for number in sorted(self._rows):
            row = self._rows[number]
            if row.id not in told:
                title = self._titles[number]
                yield transfer.added_change(row, title, self._by, self._tx.now)

    def _write_link(self, number: int, link: EdgeLine) -> None:
        try:
            added = edges.insert_edge(
                self._tx, link.task, link.after, link.on, self._by
            )
        except UserError as error:
            raise bad_line(number, error.message) from error
        self.edge_count += added


def _missing(number: int, task: str) -> NotFoundError:
    return NotFoundError(
        f"line {number}: the task {task!r} is neither in this file nor in the graph",
        hint=_ADVICE,
    )


def _conflict(number: int, what: str) -> ConflictError:
    return ConflictError(
        f"line {number}: {what}",
        hint="nothing was imported: import it into an empty graph, or change the id",
    )
